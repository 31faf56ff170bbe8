r"""Pseudo-inverse guided diffusion to the letter: an implicit step, then the guidance."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError, refuse_arguments
from scorefield.kernel import Kernel, State
from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.literal_dps import Known
from scorefield.linalg.covariance import Isotropic
from scorefield.measurement import Measurement
from scorefield.prior import Prior, level


@refuse_arguments(data_std="write LiteralPiGDM(amplitude=...)")
@dataclass(frozen=True)
class LiteralPiGDM(Kernel[None]):
    r""":math:`x_t = \mathrm{DDIM}_\eta(x_s) + r^2 J^T A^H(r^2 A A^H + R)^{-1}(y - A D)`; walk it with the prior itself.

    :math:`r^2 = s^2 u^2/(s^2 + u^2)` for pixels of standard deviation u.  Without noise the guidance is the code's
    :math:`J^T(A^+ y - A^+ A D)`; its factor :math:`a_s a_t` belongs to the variance-preserving chain and is 1 here.
    The score form, any kernel on :class:`~scorefield.posteriors.PiGDM`, moves :math:`(1 - t/s)\,s^2/r^2` times as far
    at eta = 0: guidance here does not shrink with the step, so more steps are not a finer approximation.

    Args:
        measurement: the data.
        eta: share of fresh noise of the implicit step; the public code's configuration has 0, its examples also 1.
        amplitude: u, the standard deviation of pixels, which the paper takes as 1, in the units of the image.

    Raises:
        InputError: an amplitude that is not positive, or eta outside [0, 1].

    References:
        Song, Vahdat, Mardani, Kautz, ICLR 2023, "Pseudoinverse-guided diffusion models for inverse problems";
        github.com/NVlabs/RED-diff.
    """

    measurement: Measurement = field(repr=False)
    eta: float = 0.0
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        if not self.amplitude > 0:
            raise InputError(
                f"LiteralPiGDM needs an amplitude > 0, got {self.amplitude:g}: the pixels' standard deviation."
            )
        Ancestral(self.eta)

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        mean, vjp = prior.linearize(state.x, sigma)
        square, pixels = level(sigma, mean).square(), self.amplitude**2
        variance = square / (1 + square / pixels)
        guidance = variance * vjp(self.measurement.innovation(mean, Isotropic(variance.reshape(-1))))
        after = Ancestral(self.eta).step(Known(mean), state, sigma, target, generator)
        return after.at(after.x + guidance)
