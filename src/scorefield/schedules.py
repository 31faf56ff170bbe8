r"""Schedules: quantile functions ``u -> sigma``.

A schedule is an increasing map from [0, 1] to noise levels.  At equally spaced u its values are the grid of a
sampler, at random u they follow the noise law of training.  Sigma is the only time variable.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError

BISECTIONS = 50  # halvings of [0, 1], down to the precision of float64


class Schedule(ABC):
    """An increasing quantile function of noise levels."""

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """The noise level at each ``u`` in [0, 1], increasing in u; shaped like ``u``."""

    def rank(self, sigma: Tensor) -> Tensor:
        """The largest u in [0, 1] whose quantile is below ``sigma`` (0-d), 0 below all: (), float64, by bisection."""
        level = sigma.detach().cpu().double()
        low, high = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = self.quantile(middle) < level
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return high

    def grid(self, steps: int) -> Tensor:
        """``steps`` levels from the largest to the smallest, then 0: (steps + 1,), float64.

        A sampler makes one step between neighboring levels; the last step, to 0, gives clean images.

        Raises:
            InputError: fewer than one step.
        """
        if steps < 1:
            raise InputError(f"A sampling grid needs at least 1 step, got {steps}.")
        levels = self.quantile(torch.linspace(1, 0, steps, dtype=torch.float64))
        return torch.cat([levels, levels.new_zeros(1)])

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent noise levels (n,), float64, on the device of the generator."""
        device = generator.device if generator is not None else None
        return self.quantile(torch.rand(n, generator=generator, dtype=torch.float64, device=device))


def _check_range(sigma_min: float, sigma_max: float) -> None:
    if not (0 < sigma_min < sigma_max < math.inf):
        raise InputError(f"A schedule needs 0 < sigma_min < sigma_max, got {sigma_min:g} and {sigma_max:g}.")


@dataclass(frozen=True)
class Karras(Schedule):
    r""":math:`\sigma(u) = (\sigma_{min}^{1/\rho} + u(\sigma_{max}^{1/\rho} - \sigma_{min}^{1/\rho}))^\rho`.

    It is computed as :math:`\sigma_{max}` times a function of the ratio of the two, so that levels in another unit are
    the same levels.

    Args:
        sigma_min: smallest level, positive.
        sigma_max: largest level.
        rho: 1 is linear, and the limit at infinity is :class:`Geometric`; 7, the published choice, has most of its
            steps at small levels.

    Raises:
        InputError: levels that are not 0 < sigma_min < sigma_max, or rho not positive and finite.

    References:
        Karras, Aittala, Aila, Laine, NeurIPS 2022, arXiv 2206.00364, equation 5 (their defaults .002, 80, 7).
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        _check_range(self.sigma_min, self.sigma_max)
        if not 0 < self.rho < math.inf:
            raise InputError(f"Karras needs a finite rho > 0, got {self.rho:g}; Geometric is its limit at infinity.")

    def quantile(self, u: Tensor) -> Tensor:
        low = (self.sigma_min / self.sigma_max) ** (1 / self.rho)
        return self.sigma_max * (low + u * (1 - low)) ** self.rho


@dataclass(frozen=True)
class Geometric(Schedule):
    r""":math:`\sigma(u) = \sigma_{min} (\sigma_{max}/\sigma_{min})^u`: noise levels with a uniform logarithm.

    Args:
        sigma_min: smallest level, positive.
        sigma_max: largest level.

    Raises:
        InputError: levels that are not 0 < sigma_min < sigma_max.

    References:
        Song & Ermon, NeurIPS 2019, arXiv 1907.05600.
    """

    sigma_min: float = 0.01
    sigma_max: float = 1.0

    def __post_init__(self) -> None:
        _check_range(self.sigma_min, self.sigma_max)

    def quantile(self, u: Tensor) -> Tensor:
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** u


@dataclass(frozen=True)
class LogNormal(Schedule):
    r""":math:`\ln \sigma \sim N(\mu, s^2)`, cut at the quantiles ``tail`` and ``1 - tail`` so that the range is finite.

    Args:
        mean: mean of the logarithm.
        std: standard deviation of the logarithm, positive.
        tail: probability that is cut off at each end.

    Raises:
        InputError: a std that is not positive, or a tail outside (0, 1/2).

    References:
        Karras, Aittala, Aila, Laine, NeurIPS 2022, arXiv 2206.00364, table 1 (-1.2, 1.2).
    """

    mean: float = -1.2
    std: float = 1.2
    tail: float = 1e-4

    def __post_init__(self) -> None:
        if not (self.std > 0 and 0 < self.tail < 0.5):
            raise InputError(f"LogNormal needs std > 0 and 0 < tail < 0.5, got {self.std:g} and {self.tail:g}.")

    def quantile(self, u: Tensor) -> Tensor:
        inner = self.tail + (1 - 2 * self.tail) * u
        return torch.exp(self.mean + self.std * torch.special.ndtri(inner))
