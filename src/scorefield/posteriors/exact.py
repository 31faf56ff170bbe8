"""The exact posterior, where the prior knows it."""

from __future__ import annotations

from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Posterior
from scorefield.prior import Prior


class Exact(Posterior):
    """``prior.posterior(measurement)`` behind the interface of the approximations it judges.

    Raises:
        InputError: the prior has no exact posterior.
    """

    def __init__(self, prior: Prior, measurement: Measurement):
        super().__init__(prior, measurement)
        if not hasattr(prior, "posterior"):
            raise InputError(f"{type(prior).__name__} has no exact posterior; use an approximation such as MMPS.")
        self.density = prior.posterior(measurement)  # pyright: ignore[reportCallIssue]

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.density.denoise(x, sigma)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.density.score(x, sigma)
