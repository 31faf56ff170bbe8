r"""How a Metropolis kernel learns whether a proposal goes up or down.

Detailed balance needs :math:`\log p_\sigma(x') - \log p_\sigma(x)`.  A density says it; a score alone gives it as a
line integral along the segment from x to x', exact for a gradient field up to the error of Simpson's rule.
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
    """Images and what the prior said of them, so that it need not be asked twice.

    Args:
        x: images (B, C, *spatial).
        score: shaped like x.
        height: log-density (B,), zeros where the rule has no use for it.
    """

    x: Tensor
    score: Tensor
    height: Tensor

    def where(self, chosen: Tensor, other: Point) -> Point:
        """Images of this point where ``chosen`` (B,), of the other elsewhere."""
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
        """What is asked of the prior once at every point: (B,)."""

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
        intervals: of the rule, even; 4 is the papers'.  Each proposal costs ``intervals + 1`` scores more.

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
