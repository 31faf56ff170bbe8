"""Explicit score matching: regression on a score that is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.linalg.parts import squared_norm
from scorefield.objectives.base import Objective, check_level, perturbed, score_of
from scorefield.prior import Prior


@dataclass(frozen=True)
class Explicit(Objective):
    r""":math:`\tfrac12 \|s(x) - s_{target}(x)\|^2` at :math:`x = x_0 + \sigma n`: the Fisher divergence.

    It needs the true score, so it is for teaching, for tests, and to distill one prior into another.

    Args:
        target: the prior whose score is matched, at the same level; it receives no gradient.
        sigma: noise level; 0 for the clean images.

    Raises:
        InputError: a negative or non-finite sigma.

    References:
        Hyvarinen, "Estimation of non-normalized statistical models by score matching", JMLR 2005; the name is that of
        Vincent, Neural Computation 2011.
    """

    target: Prior
    sigma: float = 0.0

    def __post_init__(self) -> None:
        check_level(self.sigma)

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        return (perturbed(x, self.sigma, generator),)

    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        (x,) = drawn
        with torch.no_grad():
            target = score_of(self.target, x, self.sigma)
        return 0.5 * squared_norm(score_of(prior, x, self.sigma) - target)
