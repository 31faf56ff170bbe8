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

from scorefield.errors import InputError
from scorefield.portable import Portable


def normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal numbers shaped like ``x``: every real component has variance 1.

    A complex ``x`` gets independent real and imaginary parts, so ``E|z|^2 = 2``.
    """
    if x.is_complex():
        real = torch.view_as_real(x.resolve_conj())
        return torch.view_as_complex(normal_like(real, generator))
    return torch.empty_like(x, memory_format=torch.contiguous_format).normal_(generator=generator)


class Noise(Portable, ABC):
    """Additive Gaussian noise on a measurement, independent between samples and draws."""

    @property
    @abstractmethod
    def variance(self) -> Tensor:
        """Variance per real component, broadcastable to the data; positive."""

    def whiten(self, residual: Tensor) -> Tensor:
        """The residual in units of its standard deviation."""
        return residual / self.variance.sqrt()

    def solve(self, residual: Tensor) -> Tensor:
        """``R^-1 residual``."""
        return residual / self.variance

    def log_prob(self, residual: Tensor) -> Tensor:
        """Log-density of a residual (B, *data), normalized, summed over the data: (B,)."""
        parts = torch.view_as_real(residual.resolve_conj()) if residual.is_complex() else residual.unsqueeze(-1)
        variance = self.variance.unsqueeze(-1)
        terms = parts.square() / variance + torch.log(2 * math.pi * variance)
        return -0.5 * terms.flatten(1).sum(1)

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One noise realization shaped like ``like`` (B, *data)."""
        return self.variance.sqrt() * normal_like(like, generator)


class White(Noise):
    """White noise of standard deviation ``std`` per real component.

    Args:
        std: positive, in the units of the data.

    Raises:
        InputError: ``std`` is not a positive finite number.
    """

    def __init__(self, std: float):
        std = float(std)
        if not (math.isfinite(std) and std > 0):
            raise InputError(f"White noise needs a positive finite std, got {std}; estimate it from the data.")
        self.std = std

    @property
    def variance(self) -> Tensor:
        return torch.tensor(self.std**2, dtype=torch.float64)  # 0-d: it never promotes the data's dtype
