r"""Diffusion posterior sampling: a gradient step on the residual of the denoised image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Guided
from scorefield.prior import Prior, Vjp


class DPS(Guided):
    r"""V = 0 with the paper's weight in place of the noise level.

    The paper moves its variance-preserving image by :math:`-\zeta\,\nabla\|y - A D\|` after each ancestral step; this
    weight depends on neither the noise nor the spread.  As a denoiser, :math:`D_y = D - w\,\nabla_x\|y - A D\|`, each
    draw with its own norm, an ancestral step from s to t moves x by :math:`(1 - t^2/s^2)\,w` times the gradient.  So
    the paper's step is :math:`w = \zeta \sqrt{(1 + s^2)(1 + t^2)}/(1 - t^2/s^2)` for images in [-1, 1]: with zeta = 0.3
    on its 1000 levels 4.7 at sigma = 0.1, 30 at 0.6, 57 at 1, 2200 at 10.  A denoiser does not know the next level, so
    w is one number here.  It is never exact and not calibrated; it is here for comparison.  The published update is
    ``kernels.LiteralDPS``.

    Args:
        weight: w in units of ``prior.extent / measurement.gain``, which is 1 for images in [-1, 1] and an operator with
            ``A A^H = I``; 30 is the paper's zeta = 0.3 (deblurring, super-resolution) at the level 0.6 of such images,
            where most of the image is decided.

    References:
        Chung, Kim, McCann, Klasky, Ye, ICLR 2023, arXiv 2209.14687.
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, weight: float = 30.0):
        super().__init__(prior, measurement)
        if not weight > 0:
            raise InputError(f"DPS needs a positive weight, got {weight:g}.")
        self.weight = weight

    def _pull(self, variance: Tensor, vjp: Vjp, residual: Tensor) -> Callable[[Tensor], Tensor]:
        square = inner(residual, residual)
        norm = torch.where(square > 0, square, 1).sqrt()
        norm, variance = per_image(norm, residual), per_image(variance, residual)
        weight = per_image(self.weight * self.prior.extent / self.measurement.gain, residual)
        pull = torch.where(variance > 0, weight / torch.where(variance > 0, variance, 1), 0)  # none without noise
        operator = self.measurement.operator
        return lambda r: vjp(operator.H(pull * r / norm))
