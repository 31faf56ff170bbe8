r"""Another unit for the images of a prior.

With :math:`u = a x + b` the law of u has

.. math::
    D_u(u, \sigma) = a\, D\!\left(\frac{u - b}{a}, \frac{\sigma}{a}\right) + b, \qquad
    \log p_u(u) = \log p\!\left(\frac{u - b}{a}\right) - n \log a,

with n real components, and the same Jacobian.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.prior import Prior, Vjp


class Scaled(Prior):
    """A prior in other units: ``x_user = scale * x_prior + offset``.

    Log-density, exact draws and exact posterior are those of the prior, in the new units.

    Args:
        prior: in its own units.
        scale: user units per prior unit, > 0.
        offset: the user's value of the prior's 0, in user units.

    Raises:
        InputError: the scale is not positive and finite, or the offset not finite.
    """

    def __init__(self, prior: Prior, scale: float, offset: float = 0.0):
        super().__init__()
        if not (math.isfinite(scale) and scale > 0):
            raise InputError(f"The scale is a positive finite number, got {scale}; it is user units per prior unit.")
        if not math.isfinite(offset):
            raise InputError(f"The offset is a finite number, got {offset}; it is the user's value of the prior's 0.")
        self.prior, self.scale, self.offset = prior, float(scale), float(offset)
        self.event_shape = prior.event_shape

    @property
    def extent(self) -> float:
        return self.scale * self.prior.extent

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self._outward(self.prior.denoise(self._inward(x), sigma / self.scale))

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.prior.score(self._inward(x), sigma / self.scale) / self.scale

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        denoised, vjp = self.prior.linearize(self._inward(x), sigma / self.scale)
        return self._outward(denoised), vjp

    def draw(self, generator: torch.Generator | None = None) -> Scaled:
        drawn = self.prior.draw(generator)
        return self if drawn is self.prior else Scaled(drawn, self.scale, self.offset)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma(x)`` in user units: (B,).

        Raises:
            InputError: the prior has no log-density.
        """
        components = x[0].numel() * (2 if x.is_complex() else 1)
        log_prob = self.prior.log_prob(self._inward(x), sigma / self.scale)
        return log_prob - components * math.log(self.scale)

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent draws (n, *event_shape).

        Raises:
            InputError: the prior has no exact draws.
        """
        return self._outward(self.prior.rsample(n, generator))

    def posterior(self, measurement: Measurement) -> Scaled:
        """The exact posterior: the prior's own, for an operator on images in its units.

        Raises:
            InputError: the prior has no exact posterior.
        """
        operator = measurement.operator
        offset = torch.full_like(operator.H(measurement.y), self.offset)  # images are complex where the adjoint is
        inner = Measurement(measurement.residual(offset), operator * self.scale, measurement.noise)
        return Scaled(self.prior.posterior(inner), self.scale, self.offset)

    def _inward(self, x: Tensor) -> Tensor:
        return (x - self.offset) / self.scale

    def _outward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.offset
