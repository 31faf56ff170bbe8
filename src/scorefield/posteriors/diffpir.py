r"""Plug-and-play image restoration by diffusion: a proximal step on the data from the denoised image."""

from __future__ import annotations

from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.covariance import Isotropic
from scorefield.linalg.parts import per_image
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Correction
from scorefield.prior import Prior


class DiffPIR(Correction):
    r""":math:`D_y = \arg\min_u \|y - A u\|_{R^{-1}}^2 + \frac{\lambda}{\sigma^2}\|u - D\|^2`, solved exactly.

    The general formula with the spread :math:`V = (\sigma^2/\lambda) I` and the gain V: no Jacobian.  For white noise
    it is the paper's problem with :math:`\rho = \lambda \sigma_y^2/\sigma^2`.

    The paper's sampler is this denoiser under ``kernels.Renoise(fraction=0.1)``, its zeta, 100 steps.

    Args:
        weight: lambda; the paper's code uses 1 for deblurring, and up to 15.

    References:
        Zhu et al., CVPR workshops 2023, arXiv 2305.08995.
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, weight: float = 1.0):
        super().__init__(prior, measurement)
        if not weight > 0:
            raise InputError(f"DiffPIR needs a positive weight lambda, got {weight:g}.")
        self.weight = weight

    def correct(self, mean: Tensor, x: Tensor, sigma: Tensor | float) -> Tensor:
        variance = per_image(sigma, x).square() / self.weight
        return mean + variance * self.measurement.innovation(mean, Isotropic(variance.reshape(-1)))
