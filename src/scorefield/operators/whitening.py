"""Whitening: the operator that gives data in units of their noise."""

from __future__ import annotations

from torch import Tensor

from scorefield.noise import Gaussian
from scorefield.operators.linear import Operator, Shape


class Whitening(Operator):
    """``R^-1/2``, symmetric: data with noise of covariance R become data with white noise of level 1.

    Args:
        noise: the law with the covariance R.
        shape: shape of the data, without the batch.
    """

    def __init__(self, noise: Gaussian, shape: Shape):
        super().__init__(shape, shape)
        self.noise, self.shape = noise, self.shape_in

    def _apply(self, x: Tensor) -> Tensor:
        return self.noise.whiten(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.noise.whiten(y)
