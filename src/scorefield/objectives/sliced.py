"""Sliced score matching: implicit score matching along one random direction an image."""

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

    Its mean over v is :class:`Implicit`, because :math:`E\,v v^T = I`, at one backward pass whatever the image's size.
    The square needs no v: the same with the full :math:`\tfrac12 \|s\|^2` is
    ``Implicit(trace=Hutchinson(directions))``, the variance-reduced form, usually the better one.  Not always: with
    normal v and a symmetric J it saves a variance of :math:`\tfrac12 \|s\|^4 + 2 s^T J s` given x, which is negative
    near a mode, where s is small and J negative.

    Args:
        directions: the law of v, one for each image (the authors' default); repeat the images for more.
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
