r"""Mean and standard deviation of images that come in batches, without a list of them.

Two sets of n and m images with means :math:`a, b` and sums of squared distances :math:`S_a, S_b` have together

.. math:: \text{mean} = a + \tfrac{m}{n+m}(b - a), \qquad S = S_a + S_b + \tfrac{nm}{n+m} |b - a|^2 .

References:
    Welford, Technometrics 1962; Chan, Golub, LeVeque, The American Statistician 1983.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError


@dataclass(eq=False)
class Moments:
    """Mean and standard deviation of images, for more draws than fit in memory; batches are added to it.

    Args:
        count: number of images so far.
        mean: their mean, shaped like one image.
        squares: sum over the images of ``|x - mean|^2``, shaped like one image.
    """

    count: int = 0
    mean: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def update(self, x: Tensor) -> Moments:
        """Add a batch (B, ...)."""
        mean = x.mean(0)
        return self.merge(Moments(len(x), mean, (x - mean).abs().square().sum(0)))

    def merge(self, other: Moments) -> Moments:
        """Add the images that another object has counted."""
        total = self.count + other.count
        delta = other.mean - self.mean
        self.mean = self.mean + delta * (other.count / total)
        shift = abs(delta) ** 2
        self.squares = self.squares + other.squares + shift * (self.count * other.count / total)
        self.count = total
        return self

    @property
    def std(self) -> Tensor:
        """Standard deviation with the divisor n - 1; for complex images sqrt(E|x - mean|^2).

        Raises:
            InputError: fewer than two images.
        """
        if self.count < 2:
            raise InputError(f"A standard deviation needs at least 2 draws, there are {self.count}.")
        return torch.as_tensor(self.squares / (self.count - 1)).sqrt()

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Count, mean and sum of squares by name, for a file."""
        return {name: torch.as_tensor(value) for name, value in vars(self).items()}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> Moments:
        """The moments whose :attr:`tensors` these are."""
        return Moments(int(tensors["count"]), tensors["mean"], tensors["squares"])
