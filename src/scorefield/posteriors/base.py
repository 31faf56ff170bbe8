r"""A posterior is a prior: its denoiser is :math:`E[x_0 \mid x, y]`.

Tweedie's formula for the conditional law gives
:math:`E[x_0\mid x,y] = D + \sigma^2 \nabla_x \log p(y \mid x)`.  If :math:`x_0 \mid x \approx N(D, V)` then
:math:`p(y\mid x) = N(y; AD, R + AVA^H)` and, the dependence of V on x neglected,

.. math:: E[x_0 \mid x, y] \approx D + \sigma^2 J^T A^H (R + A V A^H)^{-1} (y - A D), \qquad J = \partial D/\partial x.

The published methods differ in V, and in the gain that replaces :math:`\sigma^2 J^T`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.measurement import Measurement
from scorefield.prior import Denoiser, Prior


class Posterior(Denoiser):
    """A prior given one measurement.

    Args:
        prior: the prior, or another posterior.
        measurement: what was measured.
    """

    def __init__(self, prior: Prior, measurement: Measurement):
        super().__init__()
        self.prior, self.measurement = prior, measurement
        self.event_shape = measurement.shape

    def draw(self, generator: torch.Generator | None = None) -> Prior:
        drawn = self.prior.draw(generator)
        return self if drawn is self.prior else self.given(drawn)

    def given(self, prior: Prior) -> Posterior:
        """The same conditioning of another prior."""
        return type(self)(prior, self.measurement)

    def _shaped(self, sigma: Tensor | float, x: Tensor) -> Tensor:
        return torch.as_tensor(sigma, dtype=x.real.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 1))
