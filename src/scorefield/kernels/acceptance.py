r"""The change of the log-density by a proposal, by which a Metropolis kernel accepts.

Detailed balance needs :math:`\log p_\sigma(x') - \log p_\sigma(x)`.  A density gives it directly.  A score gives it as
a line integral along the segment from x to x'.  For a gradient field this is exact up to the error of Simpson's rule,
which a second rule on the same points estimates: ``state.info.path_error`` is its effect on the acceptance.

**A score that is not a gradient** belongs to no density: its integrals around a closed loop are not zero, so no law is
in detailed balance, and the estimated error does not see it.  Learned scores are such, and those of posteriors whose
Jacobian is not symmetric (``DDNM``, ``DDRM``, ``DDS``, ``DiffPIR``, ``NormMatched``).  The law of the chain then
depends on its step.  With shorter steps more proposals are accepted, and in the limit it is the stationary law of
:math:`dx = s\,dt + \sqrt2\,dw`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.densities.potential import Rise, rise
from scorefield.errors import InputError, NoDensity
from scorefield.linalg.parts import per_image
from scorefield.prior import Prior


@dataclass(frozen=True)
class Point:
    """Images with their score and log-density, so that the prior computes each once.

    Args:
        x: images (B, C, *spatial).
        score: shaped like x.
        height: log-density (B,); None where the rule does not use it, or the prior has none.
    """

    x: Tensor
    score: Tensor
    height: Tensor | None

    def where(self, chosen: Tensor, other: Point) -> Point:
        """This point for the images ``chosen`` (B,), the other for the rest."""
        shaped, height = per_image(chosen, self.x), None
        if self.height is not None and other.height is not None:
            height = torch.where(chosen, self.height, other.height)
        return Point(torch.where(shaped, self.x, other.x), torch.where(shaped, self.score, other.score), height)


class Acceptance(ABC):
    """The difference of log-densities that a Metropolis kernel accepts by."""

    @abstractmethod
    def height(self, prior: Prior, x: Tensor, sigma: Tensor) -> Tensor | None:
        """The height of a point, computed once: (B,), or None."""

    @abstractmethod
    def gain(self, prior: Prior, here: Point, there: Point, sigma: Tensor) -> Rise:
        """``log p_sigma(there) - log p_sigma(here)`` and its error, (B,) each."""


@dataclass(frozen=True)
class ByDensity(Acceptance):
    """By the prior's ``log_prob``: the chain is exact at every step size."""

    def height(self, prior: Prior, x: Tensor, sigma: Tensor) -> Tensor | None:
        return prior.log_prob(x, sigma)

    def gain(self, prior: Prior, here: Point, there: Point, sigma: Tensor) -> Rise:
        if here.height is None or there.height is None:
            raise InputError("ByDensity compares points with a height; build them with its own method height.")
        return Rise(there.height - here.height, torch.zeros_like(here.height))


@dataclass(frozen=True)
class ByPath(Acceptance):
    """By Simpson's rule for the score along the segment: no log-density is needed.

    Exact up to the rule's error for the score of a density; ``state.info.path_error`` says how large it is.

    Args:
        intervals: number of intervals of the rule, even; the papers use 4.  Each proposal costs ``intervals + 1`` more
            scores.  The error is estimated well for multiples of 4, roughly for other numbers.

    References:
        Ramzi, Remy, Lanusse, Starck, Ciuciu, NeurIPS workshop 2020, arXiv 2011.08698; Remy et al., A&A 2023, arXiv
        2201.05561.
    """

    intervals: int = 4

    def __post_init__(self) -> None:
        if self.intervals < 2 or self.intervals % 2:
            raise InputError(f"ByPath needs an even number of intervals >= 2, got {self.intervals}.")

    def height(self, prior: Prior, x: Tensor, sigma: Tensor) -> Tensor | None:
        return None

    def gain(self, prior: Prior, here: Point, there: Point, sigma: Tensor) -> Rise:
        return rise(prior, here.x, there.x, sigma, self.intervals)


@dataclass(frozen=True)
class ByDensityOrPath(Acceptance):
    """By the density where the prior has one, by the path where it has only a score, as posteriors do.

    Args:
        path: the rule for priors without density.
    """

    path: ByPath = ByPath()

    def height(self, prior: Prior, x: Tensor, sigma: Tensor) -> Tensor | None:
        try:
            return prior.log_prob(x, sigma)
        except NoDensity:
            return None

    def gain(self, prior: Prior, here: Point, there: Point, sigma: Tensor) -> Rise:
        rule = self.path if there.height is None else ByDensity()
        return rule.gain(prior, here, there, sigma)
