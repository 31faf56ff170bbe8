r"""Measurement noise, and the one helper that draws standard normal numbers.

Convention: ``std`` is the standard deviation of *each real component*.  Complex noise of level ``std``
therefore has variance :math:`E|n|^2 = 2\,\mathrm{std}^2`, and the log-density of a residual r is
:math:`-\|r\|^2/(2\,\mathrm{std}^2)` up to a constant, whether r is real or complex.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scorefield.portable import Portable
from scorefield.randomness import normal_like


class Noise(Portable, ABC):
    """The law of data given what they would be without noise: here, that plus independent Gaussian noise."""

    @property
    @abstractmethod
    def variance(self) -> Tensor:
        """Variance per real component, broadcastable to the data; positive."""

    def whiten(self, residual: Tensor) -> Tensor:
        """The residual in units of its standard deviation."""
        return residual / self._variance(residual).sqrt()

    def solve(self, residual: Tensor) -> Tensor:
        """``R^-1 residual``."""
        return residual / self._variance(residual)

    def log_prob(self, residual: Tensor) -> Tensor:
        """Log-density of a residual (B, *data), normalized, summed over the data: (B,)."""
        parts = torch.view_as_real(residual.resolve_conj()) if residual.is_complex() else residual.unsqueeze(-1)
        variance = self._variance(residual).to(residual.device, residual.real.dtype).unsqueeze(-1)
        terms = parts.square() / variance + torch.log(2 * math.pi * variance)
        return -0.5 * terms.flatten(1).sum(1)

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One noise realization shaped like ``like`` (B, *data)."""
        return self._variance(like).sqrt() * normal_like(like, generator)

    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor:
        """``log p(y | mean)`` of data y (1 or B, *data) whose noiseless values are ``mean`` (B, *data): (B,)."""
        return self.log_prob(y - mean)

    def score(self, y: Tensor, mean: Tensor) -> Tensor:
        """The gradient of ``log_likelihood`` with respect to ``mean``, shaped like it."""
        return self.solve(y - mean)

    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Data drawn given their noiseless values."""
        return mean + self.sample(mean, generator)

    def _variance(self, like: Tensor) -> Tensor:
        variance = self.variance  # a number never promotes the data; a map would
        return variance.to(like.device, like.real.dtype) if variance.ndim else variance
