"""Another precision for a prior."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.linalg.parts import in_precision
from scorefield.measurement import Measurement
from scorefield.operators.linear import Operator
from scorefield.prior import Prior, Vjp


def precision_of(prior: Prior) -> torch.dtype | None:
    """Real dtype of the weights of a learned prior; None for a closed form, which has no weights."""
    weight = next(prior.parameters(), None)
    return None if weight is None else weight.real.dtype


class Cast(Prior):
    """A prior whose images have another precision than its weights, such as double images for a network in single.

    Args:
        prior: in its own precision.
        dtype: real floating dtype of its weights.
    """

    def __init__(self, prior: Prior, dtype: torch.dtype):
        super().__init__()
        self.prior, self.dtype = prior, dtype
        self.event_shape = prior.event_shape

    @property
    def extent(self) -> float:
        return self.amplitude or self.prior.extent

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.prior.denoise(in_precision(x, self.dtype), sigma).to(x.dtype)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.prior.score(in_precision(x, self.dtype), sigma).to(x.dtype)

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        denoised, vjp = self.prior.linearize(in_precision(x, self.dtype), sigma)
        return denoised.to(x.dtype), lambda v: vjp(in_precision(v, self.dtype)).to(v.dtype)

    def draw(self, generator: torch.Generator | None = None) -> Cast:
        drawn = self.prior.draw(generator)
        return self if drawn is self.prior else Cast(drawn, self.dtype)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma(x)`` in the precision of ``x``: (B,).

        Raises:
            InputError: the prior has no log-density.
        """
        return self.prior.log_prob(in_precision(x, self.dtype), sigma).to(x.real.dtype)

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent draws (n, *event_shape), in the prior's own precision.

        Raises:
            InputError: the prior has no exact draws.
        """
        return self.prior.rsample(n, generator)

    def posterior(self, measurement: Measurement) -> Cast:
        """The exact posterior: the prior's own, for data in its precision.

        Raises:
            InputError: the prior has no exact posterior.
        """
        rounded = _Rounded(measurement.operator, measurement.y.real.dtype, self.dtype)
        inner = Measurement(in_precision(measurement.y, self.dtype), rounded, measurement.noise)
        return Cast(self.prior.posterior(inner), self.dtype)


class _Rounded(Operator):
    """An operator on images in precision ``given``, applied to images in precision ``dtype``."""

    def __init__(self, operator: Operator, given: torch.dtype, dtype: torch.dtype):
        super().__init__(operator.shape_in, operator.shape_out)
        self.operator, self.given, self.dtype = operator, given, dtype

    def _apply(self, x: Tensor) -> Tensor:
        return in_precision(self.operator(in_precision(x, self.given)), self.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        return in_precision(self.operator.H(in_precision(y, self.given)), self.dtype)
