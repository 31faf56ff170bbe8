r"""Projection of the images themselves onto the data."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.measurement import Measurement
from scorefield.operators.consistency import pseudo_inverse
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class Project(Kernel[None]):
    r""":math:`x + \lambda A^+(y + c\,t A z - A x)` at ``target`` t, and the hard projection on y at t = 0.

    A building block; walk it with the prior itself.  Song et al. project after the predictor and after the corrector,
    onto data as noisy as the image (c = 1):

    ``Then(Then(ReverseDiffusion(), Project(m)), Then(Hold(Corrector(r)), Project(m)))``

    with r = 0.517 and lambda = 1 for MRI, 0.246 and 0.841 for CT.  Score-MRI is the same chain with r = 0.16 and the
    clean data, ``Project(m, noise=0)``.  On a Gaussian in 8 dimensions (250 levels, r = 0.16) its relative Wasserstein
    error is 0.03.  The corrector's step must follow the score: with ``Langevin(2 * r**2)``, a fixed fraction of the
    level, the error is 0.14.  Without a corrector the chain is the replacement method, 0.22: its draws are biased
    however fine the grid.

    Args:
        measurement: the data; their noise level is not used.
        weight: lambda in (0, 1]; the code of Song et al. uses 1 for MRI and 0.841 for CT.
        noise: c >= 0, noise of the data in units of the level.
        iterations: largest number of conjugate gradient iterations for the pseudo-inverse.

    References:
        Song, Shen, Xing, Ermon, ICLR 2022, arXiv 2111.08005; Chung & Ye, Medical Image Analysis 2022, arXiv 2110.05243.
    """

    measurement: Measurement = field(repr=False)
    weight: float = 1.0
    noise: float = 1.0
    iterations: int = 100

    def __post_init__(self) -> None:
        if not (0 < self.weight <= 1 and self.noise >= 0 and self.iterations >= 1):
            raise InputError(
                "Project needs 0 < weight <= 1, noise >= 0 and iterations >= 1,"
                f" got {self.weight:g}, {self.noise:g} and {self.iterations}."
            )

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        clean = not bool(target > 0)
        std = self.noise * target
        goal = state.x if clean or self.noise == 0 else state.x - std * normal_like(state.x, generator)
        residual = self.measurement.residual(goal)  # y + c t A z - A x
        move = pseudo_inverse(self.measurement.operator, residual, iterations=self.iterations)
        return state.at(state.x + (1.0 if clean else self.weight) * move)
