r"""Denoising diffusion null-space model: the denoised image projected onto the data."""

from __future__ import annotations

from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.operators.consistency import pseudo_inverse
from scorefield.posteriors.base import Correction
from scorefield.prior import Prior


class DDNM(Correction):
    r"""Null space from the prior, range from the data: :math:`D_y = D + A^+(y - A D)`, so that ``A D_y = y``.

    V = c I and R = 0 in the general formula: for data without noise.  The noise level plays no part; the paper's
    noisy version, DDNM+, is :class:`~scorefield.posteriors.DDRM` (its constants coincide with DDRM's at etab = 1).

    The paper's algorithm is this denoiser under ``kernels.Ancestral()``.  Its code takes another step, with the noise
    that the unconditioned network sees: ``kernels.PriorNoise(eta=0.85)``, 100 steps.  Around another posterior it adds
    hard consistency: ``DDNM(DPS(prior, measurement), measurement)`` is the manifold constrained gradient (MCG), the
    gradient step in the null space and the data in the range; its published update, with the residual itself for that
    of the pseudo-inverse, is ``Then(LiteralDPS(measurement), Project(measurement))``.

    ``A D_y = y`` holds as far as the pseudo-inverse is computed.  It is exact where ``A A^H`` is a multiple of the
    identity: masks, single-coil MRI, block averages.  Elsewhere conjugate gradients stop early, with data in the range
    of A: on 8-coil fourfold undersampled MRI 100 iterations leave a relative misfit of 3e-4, 300 leave 1e-4, where
    their tolerance in single precision ends; on 20-view CT it is 6e-5.  Noisy data are not in the range of an operator
    with more samples than pixels, and then no image meets them.

    Args:
        iterations: of conjugate gradients for the pseudo-inverse, at most.

    References:
        Wang, Yu, Zhang, ICLR 2023, arXiv 2212.00490.  Chung, Sim, Ryu, Ye, NeurIPS 2022, arXiv 2206.00941 (MCG).
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, iterations: int = 100):
        super().__init__(prior, measurement)
        if iterations < 1:
            raise InputError(f"DDNM needs iterations >= 1 of conjugate gradients, got {iterations}.")
        self.iterations = iterations

    def correct(self, mean: Tensor, x: Tensor, sigma: Tensor | float) -> Tensor:
        given = self.measurement.at(mean)
        return mean + pseudo_inverse(given.operator, given.residual(mean), iterations=self.iterations)
