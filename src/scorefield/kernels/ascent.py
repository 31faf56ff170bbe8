"""Gradient ascent on the log-density: the MAP estimate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.prior import Prior


@dataclass(frozen=True)
class Ascent(Kernel):
    r"""``x + a s(x, sigma)``: Langevin without its noise, at level ``sigma``; ``target`` plays no part.

    Args:
        rate: step in units of sigma^2.
        step_size: the step ``a`` itself (below 2 over the largest curvature of -log p); overrides rate.

    References:
        Fessler 2023, slides on denoising by ascent.
    """

    rate: float = 0.5
    step_size: float | None = None

    def __post_init__(self) -> None:
        if not self.rate > 0 or (self.step_size is not None and not self.step_size > 0):
            raise InputError("Ascent needs a positive rate, and a positive step_size when one is given.")

    def step(self, prior: Prior, state: State, sigma: Tensor, target: Tensor, generator: torch.Generator) -> State:
        a = self.rate * sigma**2 if self.step_size is None else torch.as_tensor(self.step_size, dtype=sigma.dtype)
        return state.at(state.x + a * prior.score(state.x, sigma))
