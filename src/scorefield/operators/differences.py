r"""Differences of neighboring pixels: the D of total variation."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.operators.basic import image_shape
from scorefield.operators.linear import Operator, Shape


class Differences(Operator):
    r""":math:`(D x)_{a, i} = x_{i + e_a} - x_i` along each spatial axis a, 0 at the far border (no wrap-around).

    The data are (axes, C, *spatial): the gradient of each pixel.  A vector (d,) has one axis, its own.  The adjoint is
    minus a divergence, and :math:`\|D\|^2 \le 4` for each axis.

    Args:
        shape: shape of one image, without the batch.
    """

    def __init__(self, shape: Shape):
        self.shape = image_shape(shape)
        self.axes = range(2, len(self.shape) + 1) if len(self.shape) > 1 else range(1, 2)  # of a batch
        super().__init__(self.shape, (len(self.axes), *self.shape))

    def _apply(self, x: Tensor) -> Tensor:
        last = [x.narrow(axis, x.shape[axis] - 1, 1) for axis in self.axes]
        parts = [torch.diff(x, dim=axis, append=end) for axis, end in zip(self.axes, last, strict=True)]
        return torch.stack(parts, dim=1)

    def _adjoint(self, y: Tensor) -> Tensor:
        out = torch.zeros_like(y[:, 0])
        for axis, part in zip(self.axes, y.unbind(1), strict=True):
            size = part.shape[axis] - 1
            inside = part.narrow(axis, 0, size)
            out.narrow(axis, 0, size).sub_(inside)
            out.narrow(axis, 1, size).add_(inside)
        return out
