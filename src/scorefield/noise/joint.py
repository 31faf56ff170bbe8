"""Independent noise on two blocks of data, each with its own law."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from scorefield.noise.base import Noise


class Joint(Noise):
    """Independent noise on two blocks of flattened data, each with its own law.

    Args:
        first: noise of the first block.
        second: noise of the second block.
        shapes: shapes of the two blocks of data, without the batch.
    """

    def __init__(self, first: Noise, second: Noise, shapes: tuple[tuple[int, ...], tuple[int, ...]]):
        self.first, self.second, self.shapes = first, second, shapes

    @property
    def variance(self) -> Tensor:
        first, second = (
            noise.variance.expand(shape).reshape(math.prod(shape))
            for noise, shape in zip((self.first, self.second), self.shapes, strict=True)
        )
        device = second.device if first.device.type == "cpu" else first.device  # a level of all data is on none
        return torch.cat([first.to(device), second.to(device)])

    def whiten(self, residual: Tensor) -> Tensor:
        return self._joined("whiten", residual)

    def solve(self, residual: Tensor) -> Tensor:
        return self._joined("solve", residual)

    def log_prob(self, residual: Tensor) -> Tensor:
        return self._summed("log_prob", residual)

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self._joined("sample", like, generator=generator)

    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor:
        return self._summed("log_likelihood", y, mean)

    def score(self, y: Tensor, mean: Tensor) -> Tensor:
        return self._joined("score", y, mean)

    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self._joined("corrupt", mean, generator=generator)

    def _joined(self, method: str, *data: Tensor, **options: Any) -> Tensor:
        """What the two laws say of their blocks, as data again."""
        return torch.cat([part.flatten(1) for part in self._told(method, data, options)], 1)

    def _summed(self, method: str, *data: Tensor) -> Tensor:
        first, second = self._told(method, data, {})
        return first + second

    def _told(self, method: str, data: tuple[Tensor, ...], options: dict[str, Any]) -> list[Tensor]:
        """What the two laws say of their blocks."""
        sizes = [math.prod(shape) for shape in self.shapes]
        blocks = zip(*(each.split(sizes, 1) for each in data), strict=True)
        return [
            getattr(noise, method)(*(part.reshape(len(part), *shape) for part in parts), **options)
            for noise, shape, parts in zip((self.first, self.second), self.shapes, blocks, strict=True)
        ]
