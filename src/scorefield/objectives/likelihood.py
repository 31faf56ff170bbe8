r"""Maximum likelihood: the mean of :math:`-\log p_\sigma(x)`, for priors with a normalized density."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.objectives.base import Objective, check_level, leaf, perturbed
from scorefield.prior import Prior


@dataclass(frozen=True)
class Likelihood(Objective):
    r"""Negative log-likelihood :math:`-\log p_\sigma(x + \sigma n)`, for priors with a normalized density.

    Its minimizer has the least Kullback-Leibler divergence from the law of the data at level sigma.  It needs the
    normalization of the density, which score matching does not.

    Args:
        sigma: noise level; 0 for the clean images.

    Raises:
        InputError: a negative or non-finite sigma, or a prior without a log-density.
    """

    sigma: float = 0.0

    def __post_init__(self) -> None:
        check_level(self.sigma)

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        return (perturbed(x, self.sigma, generator),)

    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        (x,) = drawn
        return -prior.log_prob(leaf(x), self.sigma)
