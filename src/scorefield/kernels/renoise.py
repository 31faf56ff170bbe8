r"""Denoise, then renew a fixed share of the noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class Renoise(Kernel[None]):
    r""":math:`x_t = D + t\,\big(\sqrt{1-\zeta}\,\frac{x_s - D}{s} + \sqrt\zeta\,z\big)`.

    The share of fresh noise is the same for every step, where :class:`~scorefield.kernels.Ancestral` renews
    :math:`\eta^2(1 - t^2/s^2)` of it: less, the finer the grid.  The two agree only for grids with a constant ratio
    t/s; elsewhere finer grids do not make this kernel exact, they make its draws too narrow.

    ``Renoise(0.1)`` on :class:`~scorefield.posteriors.DiffPIR` is the published DiffPIR.

    Args:
        fraction: zeta in [0, 1]; the DiffPIR code uses 0.1 to 1.

    References:
        Zhu et al., CVPR workshops 2023, arXiv 2305.08995, algorithm 1.
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise InputError(f"Renoise needs a fraction between 0 and 1, got {self.fraction:g}.")

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        denoised = prior.denoise(state.x, sigma)
        old = (1 - self.fraction) ** 0.5 * target / sigma * (state.x - denoised)
        fresh = self.fraction**0.5 * target
        return state.at(denoised + old + (fresh * normal_like(old, generator) if bool(fresh > 0) else 0))
