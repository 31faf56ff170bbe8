r"""Score-ALD as its code runs it: the data gradient scaled to the length of the score."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import norm, per_image
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Correction
from scorefield.prior import Prior


class NormMatched(Correction):
    r"""Score :math:`s + w \frac{\|s\|}{\|g\|} g` with :math:`g = A^H(y - A x)`, each image with its own norms.

    The public code of Jalal et al. runs this in place of :class:`~scorefield.posteriors.ScoreALD`: the noise level
    plays no part, and the update is a heuristic, not the score of a posterior.  It is here for comparison.
    The code's chain is ``Repeat(Langevin(rate=5e-5 / 0.0066**2), 3)``, a step of 5e-5 (sigma/sigma_L)^2 with
    sigma_L = 0.0066, over ``Geometric(0.0066, 232).grid(2311)[1155:-1]``.

    Args:
        weight: w; the code uses 5.

    References:
        Jalal et al., NeurIPS 2021, arXiv 2108.01368; github.com/utcsilab/csgm-mri-langevin.
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, weight: float = 5.0):
        super().__init__(prior, measurement)
        if not weight > 0:
            raise InputError(f"NormMatched needs a positive weight, got {weight:g}.")
        self.weight = weight

    def correct(self, mean: Tensor, x: Tensor, sigma: Tensor | float) -> Tensor:
        pull = self.measurement.operator.at(x).H(self.measurement.residual(x))
        size = norm(pull)
        ratio = torch.where(size > 0, norm(mean - x) / torch.where(size > 0, size, 1), 0)
        return mean + self.weight * per_image(ratio, x) * pull
