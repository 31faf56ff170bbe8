r"""The likelihood of annealed Langevin dynamics as published: noisy image, white inflation."""

from __future__ import annotations

import math

from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Correction
from scorefield.prior import Prior, level


class ScoreALD(Correction):
    r"""Score :math:`s(x,\sigma) + A^H(R + c\,g^2\sigma^2 I)^{-1}(y - A x)`: one product by A and one by its adjoint.

    The gain g of the operator (``measurement.gain``) gives sigma the unit of the data; where A A^H = I, as in the
    paper, it is 1.  The paper writes the inflation :math:`\gamma_t^2`, annealed with sigma; c = 1 is :math:`\gamma_t =
    \sigma`.  :class:`~scorefield.posteriors.AnnealedLikelihood` has the :math:`\sigma^2 A A^H` that the noise of x
    really adds to the data.  Both are exact only as sigma tends to 0, so they need a kernel that equilibrates at every
    level: ``Repeat(Langevin(rate), 20)`` over some 60 levels, stable for :math:`rate\,(1 + \|A\|^2/g^2) < 2`.
    The paper's code runs another gradient, :class:`~scorefield.posteriors.NormMatched`.

    Args:
        inflation: c, a pure number.

    References:
        Jalal, Arvinte, Daras, Price, Dimakis, Tamir, NeurIPS 2021, arXiv 2108.01368.
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, inflation: float = 1.0):
        super().__init__(prior, measurement)
        if not 0 <= inflation < math.inf:
            raise InputError(f"ScoreALD needs a finite inflation >= 0, got {inflation:g}.")
        self.inflation = inflation

    def _pull(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        residual = self.measurement.residual(x)
        shift = self.inflation * (self.measurement.at(x).gain * level(sigma, residual).flatten()).square()
        return self.measurement.operator.at(x).H(self.measurement.gaussian.solve(residual, shift))

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.prior.score(x, sigma) + self._pull(x, sigma)

    def correct(self, mean: Tensor, x: Tensor, sigma: Tensor | float) -> Tensor:
        return mean + level(sigma, x).square() * self._pull(x, sigma)
