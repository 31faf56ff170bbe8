r"""Denoising diffusion restoration to the letter: fresh noise direction by direction.

In the singular basis of :math:`R^{-1/2} A`, from level s to t, with :math:`\bar y_i` of noise :math:`1/d_i`:

.. math:: x_{t,i} = \begin{cases}
    D_i + t\sqrt{1-\eta^2}\,(x_s - D)_i/s + \eta t z_i & d_i = 0 \\
    D_i + t\sqrt{1-\eta^2}\,d_i(\bar y_i - D_i) + \eta t z_i & t d_i < 1 \\
    D_i + \eta_b(\bar y_i - D_i) + \sqrt{t^2 - \eta_b^2/d_i^2}\, z_i & t d_i \ge 1.
    \end{cases}
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.measurement import Measurement
from scorefield.operators.spectrum import Spectrum
from scorefield.posteriors.ddrm import restoration_gain
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class LiteralDDRM(Kernel[Spectrum]):
    """The chain of DDRM, and at ``etab`` = 1 that of DDNM+.  Walk it with the prior itself.

    DDRM's paper runs 20 steps, DDNM+'s 100.  DDRM also starts from the data where they have less noise than the first
    level; ``walk`` starts from the prior there, which the first step overwrites (at etab = 1).  As a denoiser for any
    kernel: :class:`~scorefield.posteriors.DDRM`.

    Args:
        measurement: the data.
        eta: share of fresh noise; the papers use 0.85.
        etab: weight of the data where they are cleaner than the level; the papers use 1.

    Raises:
        InputError: at the start of a walk, when the singular values of the operator are unknown and it is not small.

    References:
        Kawar, Elad, Ermon, Song, NeurIPS 2022, arXiv 2201.11793.  Wang, Yu, Zhang, ICLR 2023, arXiv 2212.00490 (DDNM+).
    """

    measurement: Measurement = field(repr=False)
    eta: float = 0.85
    etab: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.eta <= 1 and 0 <= self.etab <= 1):
            raise InputError(f"LiteralDDRM needs eta, etab between 0 and 1, got {self.eta:g} and {self.etab:g}.")

    def start(self, x: Tensor) -> State[Spectrum]:
        return State(x, Spectrum(self.measurement.whitened.operator, self.measurement.y))

    def step(
        self, prior: Prior, state: State[Spectrum], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Spectrum]:
        spectrum, t, d = state.memory, target.double(), state.memory.d
        mean, fresh = prior.denoise(state.x, sigma), normal_like(state.x, generator)
        change = (1 - self.eta**2) ** 0.5 * target / sigma * (state.x - mean) + self.eta * target * fresh
        observed = spectrum.from_data(self.measurement.whitened.residual(mean))
        gain = restoration_gain(t * d, self.eta, self.etab)
        above = ((t * d).square() - self.etab**2).clamp(min=0).sqrt() / d.clamp(min=torch.finfo(d.dtype).tiny)
        renewed = torch.where(t * d >= 1, above, self.eta * t)
        inside = gain.to(observed) * observed + renewed.to(observed) * spectrum.coordinates(fresh)
        return state.at(mean + change + spectrum.compose(inside - spectrum.coordinates(change)))
