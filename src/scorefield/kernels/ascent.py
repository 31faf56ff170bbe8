"""Gradient ascent on the log-density: the MAP estimate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.kernel import State
from scorefield.kernels.drift import Drift
from scorefield.prior import Prior


@dataclass(frozen=True)
class Ascent(Drift):
    r"""``x + a s(x, sigma)``: Langevin without its noise, at level ``sigma``; ``target`` plays no part.

    See :class:`Drift` for the arguments; keep step_size below 2 over the largest curvature of -log p.

    References:
        Fessler 2023, slides on denoising by ascent.
    """

    rate: float = 0.5

    def step(self, prior: Prior, state: State, sigma: Tensor, target: Tensor, generator: torch.Generator) -> State:
        return state.at(self._drifted(prior, state.x, sigma))
