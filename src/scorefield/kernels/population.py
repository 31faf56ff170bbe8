r"""Populations of weighted particles, and the sequential Monte Carlo step of all kernels that use them.

The weighted particles at a level stand for a law :math:`\pi_s(x) \propto p_s(x)\, g_s(x)` with a function g of the data
that ends in the likelihood.  One step of the walk resamples them when their weights are uneven, moves each to the next
level, and multiplies its weight by the ratio of law and proposal.  The running mean of the weights is an unbiased
estimate of the evidence p(y) of the prior that the steps define.

Images are moved by the second-order step of the reverse SDE from s to t,

.. math::
    x_t = \tfrac{t^2}{s^2} x_s + (1 - \tfrac{t^2}{s^2}) \hat D + u z, \qquad u^2 = t^2 (1 - \tfrac{t^2}{s^2}),

where :math:`\hat D` is extrapolated from the last two levels to the middle of the step.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.kernels.resampling import effective_fraction, systematic
from scorefield.measurement import Measurement
from scorefield.prior import Prior


@dataclass(frozen=True)
class Trend:
    """How denoised images changed over the last step; the second-order step extrapolates with it.

    Args:
        change: (k, M, *event).
        span: log ratio of the two levels.
    """

    change: Tensor
    span: Tensor


@dataclass(frozen=True)
class Population:
    """Weighted particles at one level.

    Args:
        x: (M, *event).
        log_weights: (M,) float64, since the last resampling.
        log: (M,) float64, the part of log g at x that is in the weights, and that a later step divides out.
        goals: denoised images (k, M, *event) that the step heads for: the prior's, and the proposal's if it has one.
        level: their noise level.
        trend: None at the first level.
        log_scale: log evidence up to the last resampling.
        resamplings: their number so far.
        context: further data of the kernel, such as its measurement.
    """

    x: Tensor
    log_weights: Tensor
    log: Tensor
    goals: Tensor
    level: Tensor
    trend: Trend | None = None
    log_scale: float = 0.0
    resamplings: int = 0
    context: Any = None

    @property
    def log_evidence(self) -> float:
        """Estimate of log p(y); its exponential is unbiased."""
        return self.log_scale + self.log_weights.logsumexp(0).item() - math.log(len(self.log_weights))

    @property
    def effective_fraction(self) -> float:
        """Effective sample size over the number of particles."""
        return effective_fraction(self.log_weights)

    def resample(self, generator: torch.Generator) -> Population:
        """Draw as many particles with equal weights."""
        chosen = systematic(self.log_weights, len(self.x), generator)
        trend = self.trend
        return replace(
            self,
            x=self.x[chosen],
            log_weights=torch.zeros_like(self.log_weights),
            log=self.log[chosen],
            goals=self.goals[:, chosen],
            trend=None if trend is None else replace(trend, change=trend.change[:, chosen]),
            log_scale=self.log_evidence,
            resamplings=self.resamplings + 1,
        )

    def step(self, target: Tensor) -> GaussianStep:
        """The second-order step to a positive level."""
        span = torch.log(self.level / target)
        weight, spread = torch.exp(-2 * span), target * (-torch.expm1(-2 * span)).sqrt()
        ahead = self.goals
        if self.trend is not None:
            ahead = ahead + span / self.trend.span / 2 * self.trend.change
        return GaussianStep(weight * self.x + (1 - weight) * ahead, spread)

    def at(self, x: Tensor, target: Tensor, *, gain: Tensor, log: Tensor, goals: Tensor) -> Population:
        """The particles at x of the next level; ``gain`` (M,) is added to their log weights."""
        trend = Trend(goals - self.goals, torch.log(self.level / target))
        return replace(self, x=x, log_weights=self.log_weights + gain, log=log, goals=goals, level=target, trend=trend)


@dataclass(frozen=True)
class GaussianStep:
    """Gaussian steps from one level to the next.

    Args:
        means: (k, M, *event), one for each goal.
        spread: their common standard deviation u.
    """

    means: Tensor
    spread: Tensor


@dataclass(frozen=True)
class ParticleFilter(Kernel[Population | None]):
    """The base class of kernels of weighted particles; a subclass begins and moves the population.

    Args:
        measurement: the data.
        oversampling: number of particles per draw.
        threshold: resample when the effective sample size falls below this fraction of the particles.
        at_once: number of images that the network takes at a time; by default the number of draws of the walk.

    Raises:
        InputError: numbers out of range.
    """

    group: ClassVar[bool] = True

    measurement: Measurement = field(repr=False)
    oversampling: int = 4
    threshold: float = 0.5
    at_once: int | None = None

    def __post_init__(self) -> None:
        if self.oversampling < 1 or not 0 <= self.threshold <= 1:
            raise InputError(
                f"{type(self).__name__} needs oversampling >= 1 and 0 <= threshold <= 1, got {self.oversampling} and"
                f" {self.threshold:g}."
            )
        if self.at_once is not None and self.at_once < 1:
            raise InputError(f"{type(self).__name__} needs at_once >= 1, got {self.at_once}.")

    def step(
        self, prior: Prior, state: State[Population | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Population | None]:
        draws, cloud = len(state.x), state.memory
        batch = self.at_once or draws
        if cloud is None or bool(cloud.level != sigma):
            cloud = self._enter(prior, state.x.repeat_interleave(self.oversampling, dim=0), sigma, batch)
        cloud = self._foresee(cloud, target, batch)
        if cloud.effective_fraction < self.threshold:
            cloud = cloud.resample(generator)
        cloud = self._advance(prior, cloud, target, batch, generator)
        return State(cloud.x[systematic(cloud.log_weights, draws, generator)], cloud)

    @abstractmethod
    def _enter(self, prior: Prior, x: Tensor, sigma: Tensor, batch: int) -> Population:
        """A population at x, drawn from the prior at level sigma; the network takes ``batch`` images at a time."""

    def _foresee(self, cloud: Population, target: Tensor, batch: int) -> Population:
        """Update the weights by what is known of the next step before it is made."""
        del target, batch
        return cloud

    @abstractmethod
    def _advance(
        self, prior: Prior, cloud: Population, target: Tensor, batch: int, generator: torch.Generator
    ) -> Population:
        """The population at the next level."""


def in_parts(function: Callable[[Tensor], Tensor], x: Tensor, batch: int) -> Tensor:
    """``function`` of all images, ``batch`` at a time, which fit in memory."""
    return torch.cat([function(part) for part in x.split(batch)])
