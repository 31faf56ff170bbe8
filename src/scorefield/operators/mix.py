"""Linear combinations of channels, the same at every position."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import mix_channels
from scorefield.operators.basic import finite, image_shape
from scorefield.operators.linear import Operator, Shape


class Mix(Operator):
    r""":math:`(A x)_i = \sum_j M_{ij} x_j` over channels: coil compression, prewhitening, a change of color space.

    Args:
        matrix: M (channels out, channels in), real or complex.
        shape: shape of one image, channels first, without the batch.

    Raises:
        InputError: a matrix that does not fit the channels, or whose entries are not finite.
    """

    def __init__(self, matrix: Tensor, shape: Shape):
        self.matrix, self.shape = finite(torch.as_tensor(matrix), "entries of the mixing matrix"), image_shape(shape)
        if self.matrix.ndim != 2 or self.matrix.shape[1] != self.shape[0]:
            raise InputError(
                f"Mixing {self.shape[0]} channels needs a matrix (n, {self.shape[0]}), got {tuple(matrix.shape)}."
            )
        super().__init__(self.shape, (self.matrix.shape[0], *self.shape[1:]))

    def _apply(self, x: Tensor) -> Tensor:
        return mix_channels(self.matrix, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return mix_channels(self.matrix.mH, y)
