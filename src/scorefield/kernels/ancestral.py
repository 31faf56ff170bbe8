r"""Ancestral sampling, from DDPM to DDIM.

For a Gaussian chain the law of the next level given the current one and the clean image is
:math:`x_t \mid x_s, x_0 \sim N(x_0 + \tfrac{t^2}{s^2}(x_s - x_0),\ t^2(s^2 - t^2)/s^2)`.  Replacing :math:`x_0` by the
denoised image and scaling the fresh noise by ``eta`` while keeping the total variance gives

.. math:: x_t = D + \frac{\sqrt{t^2 - u^2}}{s}(x_s - D) + u z, \qquad u = \eta\, t \sqrt{s^2 - t^2}/s.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class Ancestral(Kernel[None]):
    """Ancestral step; ``eta`` = 1 is DDPM, 0 is DDIM, the Euler step of the probability-flow ODE.

    One denoiser evaluation; order 1.

    References:
        Ho, Jain, Abbeel, NeurIPS 2020, arXiv 2006.11239; Song, Meng, Ermon, ICLR 2021, arXiv 2010.02502.
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise InputError(f"Ancestral needs 0 <= eta <= 1, got {self.eta:g}.")

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        denoised = prior.denoise(state.x, sigma)
        up = self.eta * target * (sigma**2 - target**2).clamp(min=0).sqrt() / sigma
        rest = (target**2 - up**2).clamp(min=0)  # round-off, when target is far below sigma
        x = denoised + rest.sqrt() / sigma * (state.x - denoised)
        return state.at(x + up * normal_like(x, generator) if bool(up > 0) else x)
