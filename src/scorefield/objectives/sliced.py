"""Sliced score matching: implicit score matching along one random direction for each image."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.densities.trace import Directions, Rademacher
from scorefield.linalg.solve import inner
from scorefield.objectives.base import Objective, check_level, linearized, perturbed
from scorefield.prior import Prior


@dataclass(frozen=True)
class Sliced(Objective):
    r""":math:`v^T (\partial s/\partial x)\, v + \tfrac12 (v^T s)^2` at :math:`x = x_0 + \sigma n`, v random.

    Its mean over v is :class:`Implicit`, because :math:`E\,v v^T = I`, and it costs one backward pass for images of any
    size.  ``Implicit(trace=Hutchinson(directions))`` has the exact square :math:`\tfrac12 \|s\|^2` instead; its
    variance is usually lower.  For normal v and a symmetric J the difference of the variances, given x, is
    :math:`\tfrac12 \|s\|^4 + 2 s^T J s`.  It is negative near a mode, where s is small and J negative.

    Args:
        directions: the law of v; one v is drawn for each image, as the authors do.  Repeat the images for more.
        sigma: noise level; 0 for the clean images.

    Raises:
        InputError: a negative or non-finite sigma, or a score without a graph to x.

    References:
        Song, Garg, Shi, Ermon, "Sliced score matching", UAI 2019, arXiv 1905.07088.
    """

    directions: Directions = field(default_factory=Rademacher)
    sigma: float = 0.0

    def __post_init__(self) -> None:
        check_level(self.sigma)

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        noisy = perturbed(x, self.sigma, generator)
        return noisy, self.directions.draw(noisy, generator)

    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        x, v = drawn
        score, vjp = linearized(prior, x, self.sigma)
        return inner(v, vjp(v)) + 0.5 * inner(v, score).square()
