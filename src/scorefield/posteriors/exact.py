"""The exact posterior, where the prior knows it."""

from __future__ import annotations

from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Posterior
from scorefield.prior import Density, Prior


class Exact(Posterior):
    """``prior.posterior(measurement)`` behind the interface of the approximations it judges.

    Raises:
        InputError: the prior has no exact posterior.
    """

    def __init__(self, prior: Prior, measurement: Measurement):
        super().__init__(prior, measurement)
        self.density = _density(prior, measurement)

    def replace(self, *, prior: Prior | None = None, measurement: Measurement | None = None) -> Exact:
        other = super().replace(prior=prior, measurement=measurement)
        other.density = _density(other.prior, other.measurement)
        return other

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.density.denoise(x, sigma)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.density.score(x, sigma)


def _density(prior: Prior, measurement: Measurement) -> Density:
    if not hasattr(prior, "posterior"):
        raise InputError(f"{type(prior).__name__} has no exact posterior; use an approximation such as MMPS.")
    return prior.posterior(measurement)  # pyright: ignore[reportCallIssue]
