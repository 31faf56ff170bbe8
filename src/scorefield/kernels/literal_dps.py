r"""Diffusion posterior sampling to the letter: an ancestral step, then a gradient step on the data.

The paper walks the variance-preserving image :math:`x' = a\,x/u`, with :math:`a_s = (1 + s^2/u^2)^{-1/2}` at level s
and u the size of images that it calls 1.  Its algorithm 1, with the code's gradient of the norm, is

.. math:: x'_t = \mathrm{ancestral}(x'_s) - \zeta\,\nabla_{x'_s} \|y - A D\| / (g u)

for data of size g u, g being the norm of the operator that it calls 1.
In the images x of this library the same step is

.. math::
    x_t = \mathrm{ancestral}(x_s) - \frac{u\,\zeta}{g} \sqrt{(1 + s^2/u^2)(1 + t^2/u^2)}\;\nabla_{x_s} \|y - A D(x_s)\|.
"""

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
    r"""An ancestral step, then zeta times the gradient of the residual's norm, in the variance-preserving frame.

    Walk it with the prior itself, over 1000 levels as published.  The step knows nothing of the noise of the data, so
    the draws are not calibrated.  Each image has the norm of its own residual.  As a denoiser that any kernel takes it
    is :class:`~scorefield.posteriors.DPS`, whose weight is in one unit for all levels.

    Args:
        measurement: the data.
        zeta: step; the paper's code uses 0.3 for deblurring and super-resolution, 0.5 for inpainting, 1 for phase
            retrieval, all with 1000 steps.
        eta: share of fresh noise of the ancestral step; 1 is published.
        amplitude: u, the size of an image that the paper calls 1, in the units of the image; the paper's images fill
            [-1, 1], so it is half of their range.
        gain: g, the size of the data of such an image over u; the paper's data are in the unit of the image.

    Raises:
        InputError: a step, an amplitude or a gain that is not positive, or eta outside [0, 1].

    References:
        Chung, Kim, McCann, Klasky, Ye, ICLR 2023, arXiv 2209.14687, algorithm 1.
    """

    measurement: Measurement = field(repr=False)
    zeta: float = 0.3
    eta: float = 1.0
    amplitude: float = 1.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not (self.zeta > 0 and self.amplitude > 0 and self.gain > 0):
            raise InputError(
                f"LiteralDPS needs positive zeta, amplitude and gain, got {self.zeta:g}, {self.amplitude:g} and"
                f" {self.gain:g}."
            )
        Ancestral(self.eta)

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        mean, vjp = prior.linearize(state.x, sigma)
        residual = self.measurement.residual(mean)
        norm = inner(residual, residual).sqrt().clamp(min=torch.finfo(residual.real.dtype).tiny)
        uphill = vjp(self.measurement.operator.at(mean).H(residual)) / per_image(norm, mean)
        after = Ancestral(self.eta).step(Known(mean), state, sigma, target, generator)
        frames = (1 + (sigma / self.amplitude) ** 2) * (1 + (target / self.amplitude) ** 2)
        return after.at(after.x + self.amplitude / self.gain * self.zeta * frames.sqrt() * uphill)
