r"""The change of the log-density by a proposal, by which a Metropolis kernel accepts.

Detailed balance needs :math:`\log p_\sigma(x') - \log p_\sigma(x)`.  A density gives it directly.  A score gives it as
a line integral along the segment from x to x', exact for a gradient field up to the error of Simpson's rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.densities.potential import log_ratio
from scorefield.errors import InputError
from scorefield.linalg.parts import per_image
from scorefield.prior import Prior


@dataclass(frozen=True)
class Point:
    """Images with their score and log-density, so that the prior computes each once.

    Args:
        x: images (B, C, *spatial).
        score: shaped like x.
        height: log-density (B,), zeros where the rule does not use it.
    """

    x: Tensor
    score: Tensor
    height: Tensor

    def where(self, chosen: Tensor, other: Point) -> Point:
        """This point for the images ``chosen`` (B,), the other for the rest."""
        shaped = per_image(chosen, self.x)
        return Point(
            torch.where(shaped, self.x, other.x),
            torch.where(shaped, self.score, other.score),
            torch.where(chosen, self.height, other.height),
        )


class Acceptance(ABC):
    """The difference of log-densities that a Metropolis kernel accepts by."""

    @abstractmethod
    def height(self, prior: Prior, x: Tensor, sigma: Tensor) -> Tensor:
        """The height of a point, computed once: (B,)."""

    @abstractmethod
    def gain(self, prior: Prior, here: Point, there: Point, sigma: Tensor) -> Tensor:
        """``log p_sigma(there) - log p_sigma(here)``: (B,)."""


@dataclass(frozen=True)
class ByDensity(Acceptance):
    """By the prior's ``log_prob``: the chain is exact at every step size."""

    def height(self, prior: Prior, x: Tensor, sigma: Tensor) -> Tensor:
        return prior.log_prob(x, sigma)

    def gain(self, prior: Prior, here: Point, there: Point, sigma: Tensor) -> Tensor:
        return there.height - here.height


@dataclass(frozen=True)
class ByPath(Acceptance):
    """By Simpson's rule for the score along the segment: no log-density is needed.

    Exact up to the rule's error for the score of a density; a learned score is a gradient only nearly.

    Args:
        intervals: number of intervals of the rule, even; the papers use 4.  Each proposal costs ``intervals + 1`` more
            scores.

    References:
        Ramzi, Remy, Lanusse, Starck, Ciuciu, NeurIPS workshop 2020, arXiv 2011.08698; Remy et al., A&A 2023, arXiv
        2201.05561.
    """

    intervals: int = 4

    def __post_init__(self) -> None:
        if self.intervals < 2 or self.intervals % 2:
            raise InputError(f"ByPath needs an even number of intervals >= 2, got {self.intervals}.")

    def height(self, prior: Prior, x: Tensor, sigma: Tensor) -> Tensor:
        return x.real.new_zeros(len(x))

    def gain(self, prior: Prior, here: Point, there: Point, sigma: Tensor) -> Tensor:
        return log_ratio(prior, here.x, there.x, sigma, self.intervals)
