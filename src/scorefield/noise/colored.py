r"""Noise that is correlated between channels, as between the coils of an MRI scanner.

With :math:`C = U \Lambda U^H` the covariance of the channels and white w of unit variance per real component,
:math:`n = C^{1/2} w` at each sample, so that for complex data :math:`E\,n n^H = 2 C`.

References:
    Roemer et al., "The NMR phased array", MRM 1990; Pruessmann et al., MRM 2001 (prewhitening).
"""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import cast, mix_channels, per_image
from scorefield.noise.gaussian import Gaussian


class Colored(Gaussian):
    """Gaussian noise with one covariance between the channels at each sample, independent between samples.

    Args:
        covariance: (channels, channels), Hermitian and positive definite, of each real component: half of the mean of
            ``n n^H`` over complex noise-only samples.

    Raises:
        InputError: not a square matrix, not Hermitian, or not positive definite.
    """

    def __init__(self, covariance: Tensor):
        self.covariance = torch.as_tensor(covariance)
        shape = tuple(self.covariance.shape)
        square = len(shape) == 2 and shape[0] == shape[1]
        if not square or not torch.allclose(self.covariance, self.covariance.mH):  # NaN is close to nothing
            raise InputError(
                f"Colored noise needs a finite Hermitian matrix (channels, channels), got shape {shape};"
                " average n n^H / 2 over noise-only samples."
            )
        double = self.covariance.to(torch.promote_types(self.covariance.dtype, torch.float64))
        self._values, self._vectors = torch.linalg.eigh(double)
        if not bool(self._values[0] > shape[0] * torch.finfo(torch.float64).eps * self._values[-1]):
            raise InputError("The noise covariance is not positive definite; drop the channels that repeat others.")
        self._root, self._whitener = self._power(0.5), self._power(-0.5)

    @property
    def precision(self) -> Tensor:
        return (1 / self._values).mean()

    def whiten(self, residual: Tensor) -> Tensor:
        return mix_channels(self._whitener, residual)

    def color(self, white: Tensor) -> Tensor:
        return mix_channels(self._root, white)

    def solve(self, residual: Tensor, shift: Tensor | float = 0.0) -> Tensor:
        modes = mix_channels(self._vectors.mH, residual)
        values = cast(self._values, modes).reshape(-1, *[1] * (modes.ndim - 2))
        return mix_channels(self._vectors, modes / (values + per_image(shift, modes)))

    def log_det(self, like: Tensor) -> Tensor:
        return self._values.log().sum() * (like[0].numel() // len(self._values))

    def prewhiten(self, measurement: object) -> NoReturn:
        """Refuse the call of version 0.1; ``measurement.whitened`` takes its place.

        Raises:
            InputError: always; every method takes colored noise as it is.
        """
        raise InputError(
            "Colored.prewhiten has become measurement.whitened; every method takes colored noise as it is."
        )

    def _power(self, exponent: float) -> Tensor:
        return (self._vectors * self._values.pow(exponent)) @ self._vectors.mH
