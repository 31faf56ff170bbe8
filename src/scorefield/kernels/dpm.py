r"""DPM-Solver++(2M): the probability-flow ODE in :math:`\lambda = -\ln\sigma`, exact in its linear part.

With :math:`h = \lambda_t - \lambda_s` the solution is :math:`x_t = e^{-h} x_s + \int e^{\lambda - \lambda_t}
D\,d\lambda`.
Extrapolating D linearly from the last two evaluations makes the step second order at one evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.kernel import Kernel, State
from scorefield.prior import Prior


@dataclass(frozen=True)
class DPMpp2M(Kernel):
    """Multistep data-prediction solver: one denoiser evaluation a step; order 2 after a first step of order 1.

    The last step, to 0, returns the denoised image.

    References:
        Lu, Zhou, Bao, Chen, Li, Zhu, "DPM-Solver++", 2022, arXiv 2211.01095, algorithm 2.
    """

    def step(self, prior: Prior, state: State, sigma: Tensor, target: Tensor, generator: torch.Generator) -> State:
        denoised = prior.denoise(state.x, sigma)
        if not bool(target > 0):
            return State(denoised, (denoised, sigma, target))
        guess = denoised
        if state.memory is not None:
            previous, above, level = state.memory
            if bool((level == sigma) & (above > sigma)):  # the memory belongs to the step that led here
                ratio = torch.log(sigma / target) / torch.log(above / sigma)
                guess = denoised + ratio / 2 * (denoised - previous)
        x = target / sigma * state.x + (1 - target / sigma) * guess
        return State(x, (denoised, sigma, target))
