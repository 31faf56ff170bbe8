r"""DPM-Solver++(2M), along the probability-flow ODE or the reverse SDE.

In :math:`\lambda = -\ln\sigma` both are linear but for D.  With :math:`h = \ln(s/t)` the step from s to t of the SDE
whose fresh noise is scaled by eta is exact for constant D:

.. math:: x_t = \tfrac{t}{s}\, e^{-\eta h}\, x_s + (1 - e^{-(1+\eta) h})\, \hat D + t \sqrt{1 - e^{-2 \eta h}}\; z .

Extrapolating D linearly from the last two evaluations to the middle of the step makes it second order at one
evaluation; for eta = 0 it is the solver of the ODE.  Fresh noise forgets the errors of earlier steps, at the price of
more steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.prior import Prior
from scorefield.randomness import normal_like


class LastStep(NamedTuple):
    """The denoised images of the last step, its level, and the level that it reached."""

    denoised: Tensor
    sigma: Tensor
    target: Tensor


@dataclass(frozen=True)
class DPMpp2M(Kernel[LastStep | None]):
    """Multistep data-prediction solver: one denoiser evaluation a step; order 2 after a first step of order 1.

    The last step, to 0, returns the denoised image.

    Args:
        eta: 0 follows the ODE, 1 the reverse SDE.

    References:
        Lu, Zhou, Bao, Chen, Li, Zhu, "DPM-Solver++", 2022, arXiv 2211.01095, algorithm 2 and its SDE form.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not self.eta >= 0:
            raise InputError(f"DPMpp2M needs eta >= 0, got {self.eta:g}: 0 for the ODE, 1 for the SDE.")

    def step(
        self, prior: Prior, state: State[LastStep | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[LastStep | None]:
        denoised = prior.denoise(state.x, sigma)
        if not bool(target > 0):
            return State(denoised, LastStep(denoised, sigma, target))
        h = torch.log(sigma / target)
        guess = denoised
        last = state.memory
        if last is not None and bool((last.target == sigma) & (last.sigma > sigma)):  # it led here
            guess = denoised + h / torch.log(last.sigma / sigma) / 2 * (denoised - last.denoised)
        x = target / sigma * torch.exp(-self.eta * h) * state.x - torch.expm1(-(1 + self.eta) * h) * guess
        if self.eta > 0:
            x = x + target * (-torch.expm1(-2 * self.eta * h)).sqrt() * normal_like(x, generator)
        return State(x, LastStep(denoised, sigma, target))
