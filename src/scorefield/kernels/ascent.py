"""Gradient ascent on the log-density: the MAP estimate."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import refuse_arguments
from scorefield.kernel import State
from scorefield.kernels.drift import Drift
from scorefield.kernels.steps import Relative, StepSize
from scorefield.prior import Prior


@refuse_arguments(step_size="write Ascent(Absolute(...))")
@dataclass(frozen=True)
class Ascent(Drift[None]):
    r"""``x + a s(x, sigma)``: a Langevin step without its noise, at level ``sigma``; ``target`` is not used.

    See :class:`Drift` for the arguments; keep an absolute step below 2 over the largest curvature of -log p.

    References:
        Fessler 2023, slides on denoising by ascent.
    """

    rate: StepSize | float = field(default=Relative(0.5))

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        return state.at(self.ascend(prior, state.x, sigma))
