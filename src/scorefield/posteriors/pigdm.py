r"""Pseudo-inverse guided diffusion: an isotropic spread."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.covariance import Isotropic
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Guided
from scorefield.prior import Prior, Vjp


class PiGDM(Guided):
    r"""V = r^2 I with :math:`r^2 = \sigma^2 s^2/(\sigma^2 + s^2)`, gain :math:`\sigma^2 J^T`.

    r^2 is the exact conditional variance under the prior N(m, s^2 I), whose extent is s.  The published update adds its
    guidance after the step, with a weight of its own: ``kernels.LiteralPiGDM``.

    Args:
        data_std: the pixels' standard deviation s over ``prior.extent``; the paper assumes 1.

    References:
        Song, Vahdat, Mardani, Kautz, ICLR 2023, "Pseudoinverse-guided diffusion models for inverse problems".
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, data_std: float = 1.0):
        super().__init__(prior, measurement)
        if not data_std > 0:
            raise InputError(f"PiGDM needs data_std > 0, got {data_std:g}: the pixels' standard deviation.")
        self.data_std = data_std

    def _pull(self, variance: Tensor, vjp: Vjp, residual: Tensor) -> Callable[[Tensor], Tensor]:
        operator, noise = self.measurement.operator, self.measurement.gaussian
        pixels = (self.data_std * self.prior.extent) ** 2
        spread = Isotropic((variance / (1 + variance / pixels)).reshape(-1))
        return lambda r: vjp(operator.innovation(noise, spread, r))
