r"""The clocks of variance-preserving models, as schedules of noise levels.

The input of a variance-preserving model is :math:`\sqrt{\bar\alpha}\,x_0 + \sqrt{1 - \bar\alpha}\,n`; divided by
:math:`\sqrt{\bar\alpha}` that is our :math:`x_0 + \sigma n` at :math:`\sigma^2 = 1/\bar\alpha - 1`.  So its clock is a
schedule like any other, whose quantile at u is the level at the fraction u of the time axis: an even grid is the
model's own sequence of steps, a random u its training noise.  It also gives the time of a level, the second
argument of the network.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.schedules import Schedule


class Timesteps(Schedule):
    """A schedule that also gives the time of a level."""

    @abstractmethod
    def time(self, sigma: Tensor) -> Tensor:
        """The network's time at each level, shaped like sigma; levels beyond an end take the time of that end."""


class Betas(Timesteps):
    r"""Discrete time 0 ... T - 1 with :math:`\bar\alpha_t = \prod_{i \le t} (1 - \beta_i)`, the code's index.

    Between two steps, ln(sigma) is linear in time, so a network is called at fractional times.
    """

    @abstractmethod
    def betas(self) -> Tensor:
        """Variance of the noise added by each step, (T,), float64."""

    def levels(self) -> Tensor:
        """The level of each step, (T,), increasing."""
        return torch.expm1(-torch.log1p(-self.betas()).cumsum(0)).sqrt()

    def quantile(self, u: Tensor) -> Tensor:
        table = self.levels().log().to(u.device)
        t = u.double() * (len(table) - 1)
        below = t.floor().long().clamp(0, len(table) - 2)
        return torch.exp(table[below] + (t - below) * (table[below + 1] - table[below]))

    def time(self, sigma: Tensor) -> Tensor:
        table = self.levels().to(sigma.device)
        sigma, table = sigma.double().clamp(table[0], table[-1]).log(), table.log()
        below = (torch.searchsorted(table, sigma, right=True) - 1).clamp(0, len(table) - 2)
        return below + (sigma - table[below]) / (table[below + 1] - table[below])


def _check(first: float, last: float, steps: int) -> None:
    if not 0 < first <= last < 1:
        raise InputError(f"Betas satisfy 0 < first <= last < 1, got {first:g} and {last:g}.")
    if steps < 2:
        raise InputError(f"Betas need steps >= 2, got {steps}.")


@dataclass(frozen=True)
class LinearBetas(Betas):
    """beta linear in time: DDPM's, 1e-4 to 0.02 in 1000 steps.

    References:
        Ho, Jain, Abbeel, NeurIPS 2020, arXiv 2006.11239.
    """

    first: float = 1e-4
    last: float = 0.02
    steps: int = 1000

    def __post_init__(self) -> None:
        _check(self.first, self.last, self.steps)

    def betas(self) -> Tensor:
        return torch.linspace(self.first, self.last, self.steps, dtype=torch.float64)


@dataclass(frozen=True)
class SqrtLinearBetas(Betas):
    """The square root of beta linear in time: what latent diffusion calls "linear", 0.0015 to 0.0195 in 1000 steps.

    References:
        Rombach, Blattmann, Lorenz, Esser, Ommer, CVPR 2022, arXiv 2112.10752.
    """

    first: float = 0.0015
    last: float = 0.0195
    steps: int = 1000

    def __post_init__(self) -> None:
        _check(self.first, self.last, self.steps)

    def betas(self) -> Tensor:
        ends = math.sqrt(self.first), math.sqrt(self.last)
        return torch.linspace(*ends, self.steps, dtype=torch.float64).square()


@dataclass(frozen=True)
class CosineBetas(Betas):
    r""":math:`\bar\alpha(t) \propto \cos^2\!\left(\frac{t/T + s}{1 + s} \frac{\pi}{2}\right)`, no beta above
    ``largest``.

    Args:
        offset: s, 0.008.
        largest: 0.999, against the singularity at the end.
        steps: T.

    References:
        Nichol & Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021, arXiv 2102.09672.
    """

    offset: float = 0.008
    largest: float = 0.999
    steps: int = 1000

    def __post_init__(self) -> None:
        _check(self.largest, self.largest, self.steps)
        if not self.offset >= 0:
            raise InputError(f"CosineBetas needs offset >= 0, got {self.offset:g}.")

    def betas(self) -> Tensor:
        t = torch.linspace(0, 1, self.steps + 1, dtype=torch.float64)
        kept = torch.cos((t + self.offset) / (1 + self.offset) * math.pi / 2).square()
        return (1 - kept[1:] / kept[:-1]).clamp(max=self.largest)


@dataclass(frozen=True)
class ContinuousBetas(Timesteps):
    r"""The variance-preserving SDE: :math:`\beta(t) = \beta_0 + (\beta_1 - \beta_0) t` on [first, 1].

    .. math:: \ln(1 + \sigma^2) = \beta_0 t + (\beta_1 - \beta_0)\, t^2/2

    Args:
        start: beta at time 0, 0.1.
        end: beta at time 1, 20.
        first: earliest time, 1e-3 in sampling (1e-5 in training).
        scale: the network is called with ``scale * t``, 999 in the authors' code.

    References:
        Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, ICLR 2021, arXiv 2011.13456, equation 33.
    """

    start: float = 0.1
    end: float = 20.0
    first: float = 1e-3
    scale: float = 999.0

    def __post_init__(self) -> None:
        if not (0 < self.start < self.end and 0 < self.first < 1 and self.scale > 0):
            raise InputError("ContinuousBetas needs 0 < start < end, 0 < first < 1 and scale > 0.")

    def quantile(self, u: Tensor) -> Tensor:
        t = self.first + u * (1 - self.first)
        return torch.expm1(self.start * t + (self.end - self.start) * t.square() / 2).sqrt()

    def time(self, sigma: Tensor) -> Tensor:
        total, slope = torch.log1p(sigma.double().square()), self.end - self.start
        t = 2 * total / (self.start + (self.start**2 + 2 * slope * total).sqrt())  # the root, without cancellation
        return self.scale * t.clamp(self.first, 1.0)
