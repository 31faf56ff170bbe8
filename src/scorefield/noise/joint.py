"""Independent noise on two blocks of data, each with its own law."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from scorefield.noise.base import Noise
from scorefield.noise.gaussian import Gaussian

T = TypeVar("T")
Shapes = tuple[tuple[int, ...], tuple[int, ...]]


def joint(first: Noise, second: Noise, shapes: Shapes) -> Joint:
    """The law of both blocks: Gaussian where both are."""
    if isinstance(first, Gaussian) and isinstance(second, Gaussian):
        return GaussianJoint(first, second, shapes)
    return Joint(first, second, shapes)


class Joint(Noise):
    """Independent noise on two blocks of flattened data, each with its own law.

    Args:
        first: noise of the first block.
        second: noise of the second block.
        shapes: shapes of the two blocks of data, without the batch.
    """

    def __init__(self, first: Noise, second: Noise, shapes: Shapes):
        self.first, self.second, self.shapes = first, second, shapes

    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor:
        first, second = _each(self, lambda law, *parts: law.log_likelihood(*parts), y, mean)
        return first + second

    def score(self, y: Tensor, mean: Tensor) -> Tensor:
        return _whole(_each(self, lambda law, *parts: law.score(*parts), y, mean))

    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return _whole(_each(self, lambda law, part: law.corrupt(part, generator), mean))

    def linear_data(self, y: Tensor) -> tuple[Tensor, Gaussian]:
        (first, one), (second, two) = _each(self, lambda law, part: law.linear_data(part), y)
        return _whole([first, second]), GaussianJoint(one, two, self.shapes)

    def standardize(self, y: Tensor, mean: Tensor) -> Tensor:
        return _whole(_each(self, lambda law, *parts: law.standardize(*parts), y, mean))


class GaussianJoint(Joint, Gaussian):
    """Two blocks of Gaussian noise, R block diagonal."""

    first: Gaussian
    second: Gaussian

    def __init__(self, first: Gaussian, second: Gaussian, shapes: Shapes):
        super().__init__(first, second, shapes)

    def linear_data(self, y: Tensor) -> tuple[Tensor, Gaussian]:
        """The data themselves and this law."""
        return y, self

    @property
    def precision(self) -> Tensor:
        sizes = [math.prod(shape) for shape in self.shapes]
        first, second = self.first.precision, self.second.precision
        return (sizes[0] * first + sizes[1] * second.to(first.device)) / sum(sizes)

    def whiten(self, residual: Tensor) -> Tensor:
        return _whole(_each(self, lambda law, part: law.whiten(part), residual))

    def color(self, white: Tensor) -> Tensor:
        return _whole(_each(self, lambda law, part: law.color(part), white))

    def solve(self, residual: Tensor, shift: Tensor | float = 0.0) -> Tensor:
        return _whole(_each(self, lambda law, part: law.solve(part, shift), residual))

    def log_det(self, like: Tensor) -> Tensor:
        first, second = _each(self, lambda law, part: law.log_det(part), like)
        return first + second


def _each(joint: Joint, ask: Callable[..., T], *data: Tensor) -> list[T]:
    """The answers of the two laws, each for its own block of ``data``."""
    sizes = [math.prod(shape) for shape in joint.shapes]
    blocks = zip(*(each.split(sizes, 1) for each in data), strict=True)
    return [
        ask(law, *(part.reshape(len(part), *shape) for part in parts))
        for law, shape, parts in zip((joint.first, joint.second), joint.shapes, blocks, strict=True)
    ]


def _whole(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.flatten(1) for part in parts], 1)
