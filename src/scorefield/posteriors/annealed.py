r"""The annealed likelihood: it compares the data with the noisy image itself."""

from __future__ import annotations

import math

from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.covariance import Isotropic
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Correction
from scorefield.prior import Prior, level


class AnnealedLikelihood(Correction):
    r"""Score :math:`s(x,\sigma) + A^H(R + c\,\sigma^2 A A^H)^{-1}(y - A x)`: no Jacobian, no denoised image.

    ``inflation`` c = 1 counts the noise of x as measurement noise, which annealed Langevin needs; c = 0 is the
    likelihood of x as if it were clean, which MAP ascent and posterior Langevin at a small fixed sigma use.
    With sigma^2 I for sigma^2 A A^H, as published by Jalal et al., it is :class:`~scorefield.posteriors.ScoreALD`;
    where A A^H = I (masks, single-coil MRI) the two agree.

    Args:
        inflation: c, a pure number.

    References:
        Jalal et al., NeurIPS 2021, arXiv 2108.01368; Fessler 2023 (c = 0).
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, inflation: float = 1.0):
        super().__init__(prior, measurement)
        if not 0 <= inflation < math.inf:
            raise InputError(f"AnnealedLikelihood needs a finite inflation >= 0, got {inflation:g}.")
        self.inflation = inflation

    def _pull(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        variance = self.inflation * level(sigma, x).square()
        return self.measurement.innovation(x, Isotropic(variance.reshape(-1)))

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.prior.score(x, sigma) + self._pull(x, sigma)

    def correct(self, mean: Tensor, x: Tensor, sigma: Tensor | float) -> Tensor:
        return mean + level(sigma, x).square() * self._pull(x, sigma)
