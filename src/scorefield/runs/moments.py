"""Streaming moments."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError


class Moments:
    """Streaming mean and standard deviation of images, for more draws than fit in memory (Welford 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0

    def update(self, x: Tensor) -> Moments:
        """Take in a batch (B, ...)."""
        return self.merge(Moments._of(x))

    def merge(self, other: Moments) -> Moments:
        """Take in another accumulator."""
        total = self.count + other.count
        delta = other.mean - self.mean
        self.mean = self.mean + delta * (other.count / total)
        shift = abs(delta) ** 2
        self._squares = self._squares + other._squares + shift * (self.count * other.count / total)
        self.count = total
        return self

    @property
    def std(self) -> Tensor:
        """Standard deviation with the n - 1 divisor; complex images: sqrt(E|x - mean|^2)."""
        if self.count < 2:
            raise InputError(f"A standard deviation needs at least 2 draws, there are {self.count}.")
        return torch.as_tensor(self._squares / (self.count - 1)).sqrt()

    @staticmethod
    def _of(x: Tensor) -> Moments:
        batch = Moments()
        batch.count, batch.mean = len(x), x.mean(0)
        batch._squares = (x - batch.mean).abs().square().sum(0)
        return batch
