r"""Diffusion posterior sampling to the letter: an ancestral step, then a gradient step on the data."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.kernels.ancestral import Ancestral
from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.prior import Denoiser, Prior


class Known(Denoiser):
    """A prior whose denoised image is known, for a kernel that asks for it once."""

    def __init__(self, denoised: Tensor):
        super().__init__()
        self.denoised = denoised

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.denoised


@dataclass(frozen=True)
class LiteralDPS(Kernel[None]):
    r""":math:`x_t = \mathrm{ancestral}(x_s) - \zeta\,\nabla_{x_s}\|y - A D(x_s)\|`.

    Walk it with the prior itself.  The step is the same for every level and every noise, so the draws are not
    calibrated.  As a denoiser that any kernel takes it is :class:`~scorefield.posteriors.DPS`, where one ancestral step
    from s to t has :math:`w = \zeta/(1 - t^2/s^2)`.  A variance-preserving chain :math:`a x` with step zeta is this one
    with :math:`\zeta/(a_s a_t)`.

    Args:
        measurement: the data.
        zeta: step, in image units squared over data units; the paper's code uses 0.3 for deblurring and
            super-resolution, 0.5 for inpainting, 1 for phase retrieval, with 1000 steps and images in [-1, 1].
        eta: share of fresh noise of the ancestral step.

    References:
        Chung, Kim, McCann, Klasky, Ye, ICLR 2023, arXiv 2209.14687, algorithm 1.
    """

    measurement: Measurement = field(repr=False)
    zeta: float = 0.3
    eta: float = 1.0

    def __post_init__(self) -> None:
        if not self.zeta > 0:
            raise InputError(f"LiteralDPS needs a positive step zeta, got {self.zeta:g}.")
        Ancestral(self.eta)

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        mean, vjp = prior.linearize(state.x, sigma)
        residual = self.measurement.residual(mean)
        norm = inner(residual, residual).sqrt().clamp(min=torch.finfo(residual.real.dtype).tiny)
        uphill = vjp(self.measurement.operator.at(mean).H(residual)) / per_image(norm, mean)
        after = Ancestral(self.eta).step(Known(mean), state, sigma, target, generator)
        return after.at(after.x + self.zeta * uphill)
