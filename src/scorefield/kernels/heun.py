r"""Heun's method on the probability-flow ODE :math:`dx/d\sigma = (x - D(x, \sigma))/\sigma`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.kernel import Kernel, State
from scorefield.prior import Prior


@dataclass(frozen=True)
class Heun(Kernel[None]):
    """Trapezoidal step: two denoiser evaluations, one for the last step to 0; order 2.

    References:
        Karras, Aittala, Aila, Laine, NeurIPS 2022, arXiv 2206.00364, algorithm 1.
    """

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        slope = (state.x - prior.denoise(state.x, sigma)) / sigma
        x = state.x + (target - sigma) * slope
        if bool(target > 0):
            slope = (slope + (x - prior.denoise(x, target)) / target) / 2
            x = state.x + (target - sigma) * slope
        return state.at(x)
