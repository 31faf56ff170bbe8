"""The exact posterior, where the prior knows it."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.measurement import Measurement
from scorefield.posteriors.base import Posterior
from scorefield.prior import Prior


class Exact(Posterior):
    """``prior.posterior(measurement)`` with the interface of the approximations, which are compared with it.

    Raises:
        InputError: the prior has no exact posterior.
    """

    def __init__(self, prior: Prior, measurement: Measurement):
        super().__init__(prior, measurement)
        self.density = prior.posterior(measurement)

    def replace(self, *, prior: Prior | None = None, measurement: Measurement | None = None) -> Exact:
        other = super().replace(prior=prior, measurement=measurement)
        other.density = other.prior.posterior(other.measurement)
        return other

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.density.denoise(x, sigma)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.density.score(x, sigma)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma(x | y)``: (B,)."""
        return self.density.log_prob(x, sigma)

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent draws of the posterior (n, *event_shape)."""
        return self.density.rsample(n, generator)
