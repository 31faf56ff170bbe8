r"""The reverse-diffusion predictor.

The reverse of :math:`dx = \sqrt{d\sigma^2/dt}\,dw` from s to t, discretized as the forward process was, is
:math:`x_t = x_s + (s^2 - t^2)\,\nabla\log p_s(x_s) + \sqrt{s^2 - t^2}\,z`.  The mean is the ancestral one; the noise
is larger, by s/t in standard deviation, and the two agree in the limit of small steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.kernel import Kernel, State
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class ReverseDiffusion(Kernel[None]):
    """Predictor of predictor-corrector sampling: ``D + t^2/s^2 (x - D) + sqrt(s^2 - t^2) z`` from s to t; order 1.

    One denoiser evaluation.  The last step, to 0, adds no noise and returns the denoised image, as published.

    References:
        Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, ICLR 2021, arXiv 2011.13456, appendix E and algorithm 2.
    """

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        denoised = prior.denoise(state.x, sigma)
        if not bool(target > 0):
            return state.at(denoised)
        noise = (sigma**2 - target**2).clamp(min=0).sqrt() * normal_like(denoised, generator)
        return state.at(denoised + (target / sigma) ** 2 * (state.x - denoised) + noise)
