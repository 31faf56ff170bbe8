r"""The step of the codes of DDNM and DDS: the corrected image, with the noise that the prior alone finds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.posteriors.base import Correction
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class PriorNoise(Kernel[None]):
    r""":math:`x_t = D_y + t\,\big(\sqrt{1-\eta^2}\,\frac{x_s - D}{s} + \eta z\big)`.

    The image comes from the posterior, the remaining noise from the prior.

    One denoiser alone cannot express this: the kernel asks a posterior that corrects the denoised image (``DDNM``,
    ``DDS``, ``DiffPIR``, ``DDRM``) for both, at one denoiser evaluation.  For any other prior the two are the same
    image, and this is ``Renoise(eta**2)``.  Its eta is not DDIM's: eta = 1 is not DDPM (that is eta^2 = 1 - t^2/s^2 at
    each step) but renews all noise at every step; with more steps the draws become too narrow.

    ``PriorNoise(0.85)`` on :class:`~scorefield.posteriors.DDNM` (100 steps) and on
    :class:`~scorefield.posteriors.DDS` (50) are the published codes.

    Args:
        eta: share of fresh noise in [0, 1]; both codes use 0.85.

    References:
        Wang, Yu, Zhang, ICLR 2023, arXiv 2212.00490; Chung, Lee, Ye, ICLR 2024, arXiv 2303.05754.
    """

    eta: float = 0.85

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise InputError(f"PriorNoise needs 0 <= eta <= 1, got {self.eta:g}.")

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        corrects = isinstance(prior, Correction)
        mean = (prior.prior if corrects else prior).denoise(state.x, sigma)
        old = (1 - self.eta**2) ** 0.5 * target / sigma * (state.x - mean)
        x = (prior.correct(mean, state.x, sigma) if corrects else mean) + old
        fresh = self.eta * target
        return state.at(x + fresh * normal_like(x, generator) if bool(fresh > 0) else x)
