r"""Denoising diffusion restoration: each singular direction has its own noise level."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.operators.spectrum import Spectrum
from scorefield.posteriors.base import Correction
from scorefield.prior import Prior, level


class DDRM(Correction):
    r"""In the singular basis of :math:`R^{-1/2} A`, where :math:`\bar y_i` has noise :math:`1/d_i`,

    .. math:: (D_y)_i = D_i + g_i\,(\bar y_i - D_i), \qquad
              g_i = \begin{cases} \eta_b & \sigma d_i \ge 1\ \text{(the data are cleaner than x)}\\
              \sqrt{1 - \eta^2}\,\sigma d_i & \sigma d_i < 1 \end{cases}

    and :math:`D_i` where nothing was measured.  At :math:`\eta_b = 1` these are the constants of DDNM+, the noisy
    version of :class:`~scorefield.posteriors.DDNM`, and without noise its projection.

    The published chains also scale the fresh noise direction by direction, with gains taken at the *next* level; they
    are not made of a denoiser and an ancestral step.  ``kernels.LiteralDDRM`` is that chain, of both papers.

    The singular basis must be known: see :mod:`scorefield.operators.spectrum`.

    Args:
        eta: share of fresh noise below the noise of the data; the papers use 0.85.
        etab: weight of the data above it; the paper's default is 1.

    Raises:
        InputError: the singular values of the operator are unknown and it is not small.

    References:
        Kawar, Elad, Ermon, Song, NeurIPS 2022, arXiv 2201.11793.  Wang, Yu, Zhang, ICLR 2023, arXiv 2212.00490 (DDNM+).
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, eta: float = 0.85, etab: float = 1.0):
        super().__init__(prior, measurement)
        if not (0 <= eta <= 1 and 0 <= etab <= 1):
            raise InputError(f"DDRM needs eta and etab between 0 and 1, got {eta:g} and {etab:g}.")
        self.eta, self.etab = eta, etab
        self._spectrum = _spectrum(measurement)

    def replace(self, *, prior: Prior | None = None, measurement: Measurement | None = None) -> DDRM:
        other = super().replace(prior=prior, measurement=measurement)
        if measurement is not None:
            other._spectrum = _spectrum(measurement)
        return other

    def correct(self, mean: Tensor, x: Tensor, sigma: Tensor | float) -> Tensor:
        observed = self._spectrum.from_data(self.measurement.whitened.residual(mean))
        gain = restoration_gain(level(sigma, x).reshape(-1, 1).double() * self._spectrum.d, self.eta, self.etab)
        return mean + self._spectrum.compose(gain.to(observed) * observed)


def _spectrum(measurement: Measurement) -> Spectrum:
    return Spectrum(measurement.whitened.operator, measurement.y)


def restoration_gain(ratio: Tensor, eta: float, etab: float) -> Tensor:
    """The weight of the data where the level over the noise of the data is ``ratio``."""
    return torch.where(ratio >= 1, etab, math.sqrt(1 - eta**2) * ratio)
