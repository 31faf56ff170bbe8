r"""The law of data given what they would be without noise: :math:`p(y \mid m)`.

Convention: a standard deviation is that of *each real component*.  Complex noise of level ``std`` therefore has
variance :math:`E|n|^2 = 2\,\mathrm{std}^2`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scorefield.portable import Portable


class Noise(Portable, ABC):
    """A law of data: a log-density, its score, and draws."""

    @abstractmethod
    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor:
        """``log p(y | mean)`` of data y (1 or B, *data) whose noiseless values are ``mean`` (B, *data): (B,)."""

    @abstractmethod
    def score(self, y: Tensor, mean: Tensor) -> Tensor:
        """The gradient of ``log_likelihood`` with respect to ``mean``, shaped like it."""

    @abstractmethod
    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Data drawn given their noiseless values ``mean`` (B, *data)."""
