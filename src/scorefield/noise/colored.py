r"""Noise that is correlated between channels, as between the coils of an MRI scanner.

With :math:`C = L L^H` and white w of unit variance per real component, :math:`n = L w` at each sample, so that for
complex data :math:`E\,n n^H = 2 C`.  :math:`L^{-1}` whitens: a measurement whose data and operator are both multiplied
by it has white noise of level 1, and every method applies to it.

References:
    Roemer et al., "The NMR phased array", MRM 1990; Pruessmann et al., MRM 2001 (prewhitening).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import mixed
from scorefield.noise.base import Noise
from scorefield.noise.white import White
from scorefield.randomness import normal_like

if TYPE_CHECKING:
    from scorefield.measurement import Measurement


class Colored(Noise):
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
        root, failed = torch.linalg.cholesky_ex(double)
        if bool(failed):
            raise InputError("The noise covariance is not positive definite; drop the channels that repeat others.")
        self._root, self._whitener = root, torch.linalg.inv(root)

    @property
    def variance(self) -> Tensor:
        """None: there is no variance for each datum alone.

        Raises:
            InputError: always.
        """
        raise InputError("Colored noise is correlated; pass noise.prewhiten(measurement), the same data made white.")

    def whiten(self, residual: Tensor) -> Tensor:
        return mixed(self._whitener, residual)

    def solve(self, residual: Tensor) -> Tensor:
        return mixed(self._whitener.mH, self.whiten(residual))

    def log_prob(self, residual: Tensor) -> Tensor:
        log_det = self._root.diagonal().real.log().sum() * (residual[0].numel() / len(self._root))
        components = 2 if residual.is_complex() else 1
        constant = residual[0].numel() * math.log(2 * math.pi) / 2 + log_det
        return -self.whiten(residual).abs().square().flatten(1).sum(1) / 2 - components * constant

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return mixed(self._root, normal_like(like, generator))

    def prewhiten(self, measurement: Measurement) -> Measurement:
        """The same information with white noise of level 1: data and operator multiplied by ``L^-1``."""
        from scorefield.measurement import Measurement
        from scorefield.operators.mix import Mix

        mix = Mix(self._whitener, measurement.operator.shape_out)
        return Measurement(mix(measurement.y), mix @ measurement.operator, White(1.0))
