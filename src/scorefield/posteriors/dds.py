r"""Decomposed diffusion sampling: a few conjugate-gradient steps from the denoised image towards the data."""

from __future__ import annotations

import math

from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import conjugate_gradients
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Correction
from scorefield.prior import Prior


class DDS(Correction):
    r"""``iterations`` steps of conjugate gradients from D on :math:`(I + \gamma A^H A)\,D_y = D + \gamma A^H y`.

    Converged, :math:`D_y = D + A^H(I/\gamma + A A^H)^{-1}(y - A D)`: the spread :math:`V = \gamma R` of the general
    formula, the same at every noise level.  ``gamma = inf`` is the paper's noise-free version, conjugate gradients on
    :math:`A^H A\,D_y = A^H y`, which converge to :class:`~scorefield.posteriors.DDNM`.  Neither knows the noise; the
    converged correction with a weight that does is :class:`~scorefield.posteriors.DiffPIR`.

    The paper samples with ``kernels.PriorNoise(eta=0.85)``, 50 steps.

    Args:
        gamma: weight of the data, in units of ``1 / measurement.gain**2``, which is 1 for an operator with
            ``A A^H = I``; the paper's code uses 1.
        iterations: conjugate-gradient steps; the paper uses 5.

    References:
        Chung, Lee, Ye, ICLR 2024, arXiv 2303.05754.
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, gamma: float = 1.0, iterations: int = 5):
        super().__init__(prior, measurement)
        if not gamma > 0 or iterations < 1:
            raise InputError(f"DDS needs gamma > 0 and iterations >= 1, got {gamma:g} and {iterations}.")
        self.gamma, self.iterations = gamma, iterations

    def correct(self, mean: Tensor, x: Tensor, sigma: Tensor | float) -> Tensor:
        given = self.measurement.at(mean)
        ridge = 0.0 if math.isinf(self.gamma) else per_image(given.gain.square() / self.gamma, mean)
        operator, pull = given.operator, given.operator.H(given.residual(mean))

        def matrix(v: Tensor) -> Tensor:
            return ridge * v + operator.gram(v)

        # conjugate gradients for the change of D, from zero, are those for the image, from D
        return mean + conjugate_gradients(matrix, pull, tolerance=0.0, iterations=self.iterations)
