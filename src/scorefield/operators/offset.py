"""A forward model with a background."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.linear import Operator
from scorefield.operators.nonlinear import Nonlinear


class Offset(Nonlinear):
    """``A x + b``: data b without an image, such as a drift of the detector.

    Args:
        operator: A, linear or not.
        offset: b, shaped like the data of one image, or (B, ...) with one for each image of a batch.

    Raises:
        InputError: an offset of another shape than the data.
    """

    def __init__(self, operator: Operator, offset: Tensor):
        super().__init__(operator.shape_in, operator.shape_out)
        self.operator, self.offset = operator, torch.as_tensor(offset)
        if tuple(self.offset.shape[-len(self.shape_out) :]) != self.shape_out:
            raise InputError(f"The offset has shape {tuple(offset.shape)}, the data of {operator} {self.shape_out}.")

    def _apply(self, x: Tensor) -> Tensor:
        return self.operator._apply(x) + self.offset

    def at(self, x: Tensor) -> Operator:
        return self.operator.at(x)

    def blank(self, y: Tensor) -> Tensor:
        return self.operator.blank(y)

    def __str__(self) -> str:
        return f"({self.operator} + offset)"
