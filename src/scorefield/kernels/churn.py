r"""Stochastic sampling around a solver of the probability-flow ODE."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.kernels.heun import Heun
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class Churn(Kernel[Any]):
    r"""Add noise up to :math:`\hat\sigma = (1 + \gamma)\,\sigma`, then step with ``kernel`` from there to ``target``.

    .. math:: \hat x = x + s_{noise} \sqrt{\hat\sigma^2 - \sigma^2}\, z \qquad (s_{min} \le \sigma \le s_{max})

    With a step of ``Heun`` this is the stochastic sampler of Karras et al.; ``gamma`` = 0 is the kernel itself.  The
    defaults are those published for ImageNet-64 at 256 steps.

    Args:
        kernel: a solver, such as :class:`Heun`.
        gamma: relative rise of the level, S_churn over the number of steps; at most sqrt(2) - 1, as published.
        s_min: no noise below this level, in units of ``prior.extent``.
        s_max: no noise above this level, in the same units.
        s_noise: inflation of the fresh noise, 1 for an exact denoiser; a learned one removes slightly too much.

    References:
        Karras, Aittala, Aila, Laine, NeurIPS 2022, arXiv 2206.00364, algorithm 2 and table 5.
    """

    kernel: Kernel[Any] = Heun()  # noqa: RUF009
    gamma: float = 40 / 256
    s_min: float = field(default=0.05, kw_only=True)
    s_max: float = field(default=50.0, kw_only=True)
    s_noise: float = field(default=1.003, kw_only=True)

    def __post_init__(self) -> None:
        if not (self.gamma >= 0 and self.s_noise >= 0 and 0 <= self.s_min <= self.s_max):
            raise InputError("Churn needs gamma >= 0, s_noise >= 0 and 0 <= s_min <= s_max.")

    def start(self, x: Tensor) -> State[Any]:
        return self.kernel.start(x)

    def step(
        self, prior: Prior, state: State[Any], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Any]:
        place = sigma / prior.extent
        if self.gamma > 0 and bool((place >= self.s_min) & (place <= self.s_max)):
            raised = sigma * (1 + min(self.gamma, math.sqrt(2) - 1))
            noise = self.s_noise * (raised**2 - sigma**2).sqrt() * normal_like(state.x, generator)
            state, sigma = state.at(state.x + noise), raised
        return self.kernel.step(prior, state, sigma, target, generator)
