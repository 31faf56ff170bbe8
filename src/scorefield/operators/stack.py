r"""Block rows: two operators that see the same image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.linear import Operator
from scorefield.operators.sides import Side


class Stack(Operator):
    r""":math:`A x = (A_1 x, A_2 x)`, the data of each flattened, one after the other; :math:`A^H y = \sum_i A_i^H y_i`.

    Stacks nest for more than two.  The data may have any two shapes, but both are real or both complex: apply
    :class:`~scorefield.operators.RealToComplex` after a real operator to stack it on a complex one.

    Args:
        first: operator of the first block of data.
        second: operator of the second, on images of the same shape.

    Raises:
        InputError: images of different shapes; on application, data of which only one is complex.
    """

    def __init__(self, first: Operator, second: Operator):
        if first.shape_in != second.shape_in:
            raise InputError(
                f"Cannot stack {first} on {second}: one takes images of shape {first.shape_in}, the other"
                f" {second.shape_in}; build both for the same image."
            )
        self._sizes = [math.prod(first.shape_out), math.prod(second.shape_out)]
        super().__init__(first.shape_in, (sum(self._sizes),))
        self.first, self.second = first, second

    def flatten(self, first: Tensor, second: Tensor) -> Tensor:
        """The two blocks (B, \\*shape) as the data of the stack (B, m)."""
        if first.is_complex() != second.is_complex():
            raise InputError(
                f"The data of {self.first} and {self.second} are not both real or both complex;"
                " follow the real operator by RealToComplex."
            )
        return torch.cat([first.flatten(1), second.flatten(1)], 1)

    def _apply(self, x: Tensor) -> Tensor:
        return self.flatten(self.first._apply(x), self.second._apply(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        first, second = y.split(self._sizes, 1)
        return self.first._adjoint(first.reshape(len(y), *self.first.shape_out)) + self.second._adjoint(
            second.reshape(len(y), *self.second.shape_out)
        )

    def side(self, default: Side) -> Side:
        return self.second.side(self.first.side(default))

    @property
    def linear(self) -> bool:
        return self.first.linear and self.second.linear

    def at(self, x: Tensor) -> Operator:
        return self if self.linear else Stack(self.first.at(x), self.second.at(x))

    def blank(self, y: Tensor) -> Tensor:
        first, second = y[:1].split(self._sizes, 1)
        return self.first.blank(first.reshape(1, *self.first.shape_out)) + self.second.blank(
            second.reshape(1, *self.second.shape_out)
        )

    def __str__(self) -> str:
        return f"({self.first}; {self.second})"
