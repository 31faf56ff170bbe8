r"""DPM-Solver++(2M), along the probability-flow ODE or the reverse SDE.

In :math:`\lambda = -\ln\sigma` both equations are linear, except for D.  Let :math:`h = \ln(s/t)`, and let eta scale
the fresh noise of the SDE.  For constant D the step from s to t is exact:

.. math:: x_t = \tfrac{t}{s}\, e^{-\eta h}\, x_s + (1 - e^{-(1+\eta) h})\, \hat D + t \sqrt{1 - e^{-2 \eta h}}\; z .

Extrapolating D linearly from the last two evaluations to the middle of the step makes it second order at one
evaluation; for eta = 0 it is the solver of the ODE.  Fresh noise removes the errors of earlier steps, but needs more
steps.
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
    """The last step: its denoised images, and the levels between which it moved."""

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
        if last is not None and bool((last.target == sigma) & (last.sigma > sigma)):  # that step led to this level
            guess = denoised + h / torch.log(last.sigma / sigma) / 2 * (denoised - last.denoised)
        x = target / sigma * torch.exp(-self.eta * h) * state.x - torch.expm1(-(1 + self.eta) * h) * guess
        if self.eta > 0:
            x = x + target * (-torch.expm1(-2 * self.eta * h)).sqrt() * normal_like(x, generator)
        return State(x, LastStep(denoised, sigma, target))
