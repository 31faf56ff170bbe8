r"""Twisted sequential Monte Carlo: particles that are exact in the limit of many.

The target at level t is the twisted law :math:`\pi_t(x) \propto p_t(x)\, \tilde p_t(y \mid x)`
(:mod:`scorefield.kernels.twist`), which becomes the posterior as t falls.  From s to t both prior and proposal take the
second-order step of the reverse SDE, with one variance and different means:

.. math::
    x_t = \tfrac{t^2}{s^2} x_s + (1 - \tfrac{t^2}{s^2}) \hat D + u z, \qquad u^2 = t^2 (1 - \tfrac{t^2}{s^2}),

D extrapolated to the middle of the step for the prior's kernel p, :math:`D_y` likewise for the proposal q.  With
:math:`\delta = (1 - t^2/s^2)(\hat D_y - \hat D)` between the means the log weight of a particle grows by

.. math::
    \log \frac{p(x_t \mid x_s)\, \tilde p_t(y \mid x_t)}{q(x_t \mid x_s)\, \tilde p_s(y \mid x_s)}
    = -\tfrac{1}{u} \langle z, \delta \rangle - \tfrac{1}{2 u^2} \|\delta\|^2
    + \log \tilde p_t(y \mid x_t) - \log \tilde p_s(y \mid x_s),

and the running mean of the weights is an unbiased estimate of the evidence p(y) of the prior that p defines.  When
uneven weights leave an effective sample size below a fraction of the particles, these are resampled.  Where :math:`V`
misjudges a multimodal p(x0 | x) the weights repair it, which no Gaussian reasoning can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.kernels.resampling import effective_fraction, systematic
from scorefield.kernels.twist import Twist, Twisted
from scorefield.measurement import Measurement
from scorefield.noise import normal_like
from scorefield.operators.solve import inner
from scorefield.prior import Prior


@dataclass(frozen=True)
class Trend:
    """How D and D_y changed over the last step; the second-order step extrapolates with it.

    Args:
        denoised: change of D (M, *event).
        guided: change of D_y (M, *event).
        span: log ratio of the two levels.
    """

    denoised: Tensor
    guided: Tensor
    span: Tensor


@dataclass(frozen=True)
class Population:
    """Weighted particles at one level.

    Args:
        x: (M, *event).
        log_weights: (M,) float64, since the last resampling.
        twist: at x.
        level: where they are.
        trend: None at the first level.
        log_scale: log evidence up to the last resampling.
        resamplings: how often so far.
    """

    x: Tensor
    log_weights: Tensor
    twist: Twist
    level: Tensor
    trend: Trend | None = None
    log_scale: float = 0.0
    resamplings: int = 0

    @property
    def log_evidence(self) -> float:
        """Estimate of log p(y); its exponential is unbiased."""
        return self.log_scale + self.log_weights.logsumexp(0).item() - math.log(len(self.log_weights))

    @property
    def effective_fraction(self) -> float:
        """Effective sample size over the number of particles."""
        return effective_fraction(self.log_weights)

    def resampled(self, generator: torch.Generator) -> Population:
        """As many particles, equally weighted."""
        chosen = systematic(self.log_weights, len(self.x), generator)
        trend = self.trend
        if trend is not None:
            trend = replace(trend, denoised=trend.denoised[chosen], guided=trend.guided[chosen])
        return replace(
            self,
            x=self.x[chosen],
            log_weights=torch.zeros_like(self.log_weights),
            twist=self.twist.take(chosen),
            trend=trend,
            log_scale=self.log_evidence,
            resamplings=self.resamplings + 1,
        )


@dataclass(frozen=True)
class Particles(Kernel):
    """Twisted particles (TDS) with the moment-matched twist, exact as their number and that of the levels grow.

    Walk it with the unconditional prior.  *The batch of the walk is the population*: ``sample(..., batch=64)`` walks
    independent populations of ``64 * oversampling`` particles and returns 64 draws of each.  Draws of one population
    are dependent, and its error is that of all its draws together; only populations are independent.  More draws a
    batch are a better approximation, not only more draws.

    ``state.x`` is, at every level, drawn from the particles with their weights; ``state.memory`` is the
    :class:`Population`, with ``log_evidence`` and ``effective_fraction``.  Nothing else should move ``state.x``
    between steps: what is to be done to the particles is ``move``.

    Differences from the paper: V = sigma^2 J for its r^2 I, a second-order reverse step, more particles than draws.
    Walk from well above the distance of the modes, and down to below the posterior's width: the last step, to 0,
    returns E[x0 | x, y].  A level costs ``oversampling`` times one denoiser evaluation and one vector-Jacobian product
    for each real number of data a draw.

    Args:
        measurement: the data.
        oversampling: particles a draw.  Draws that are thinned from four times as many particles carry a quarter of the
            variance of the weights.
        threshold: resample when the effective sample size falls below this fraction of the particles; 1/2 is the
            paper's.
        move: a kernel that leaves ``Twisted`` invariant, applied at every level: ``MALA(rate=0.5)``.  None is the
            paper's.
        rank: data of up to this many real numbers are treated densely; more take this many Krylov iterations.

    Raises:
        InputError: numbers out of range.

    References:
        Wu, Trippe, Naesseth, Blei, Cunningham, NeurIPS 2023, arXiv 2306.17775; Cardoso, Janati, Le Corff, Moulines,
        ICLR 2024, arXiv 2308.07983; Rozet et al., NeurIPS 2024, arXiv 2405.13712 (V).
    """

    measurement: Measurement = field(repr=False)
    oversampling: int = 4
    threshold: float = 0.5
    move: Kernel | None = None
    rank: int = 16

    def __post_init__(self) -> None:
        if self.oversampling < 1 or self.rank < 1 or not 0 <= self.threshold <= 1:
            raise InputError(
                f"Particles need oversampling >= 1, rank >= 1 and 0 <= threshold <= 1, got {self.oversampling},"
                f" {self.rank} and {self.threshold:g}."
            )

    def step(self, prior: Prior, state: State, sigma: Tensor, target: Tensor, generator: torch.Generator) -> State:
        twisted, batch = Twisted(prior, self.measurement, rank=self.rank), len(state.x)
        cloud = state.memory
        if cloud is None or bool(cloud.level != sigma):
            x = state.x.repeat_interleave(self.oversampling, dim=0)
            twist = _twist(twisted, x, sigma, batch)
            cloud = Population(x, twist.log, twist, sigma)
        if cloud.effective_fraction < self.threshold:
            cloud = cloud.resampled(generator)
        if self.move is not None:
            moved = (
                self.move.step(twisted, self.move.start(part), sigma, sigma, generator) for part in cloud.x.split(batch)
            )
            x = torch.cat([each.x for each in moved])
            cloud = replace(cloud, x=x, twist=_twist(twisted, x, sigma, batch))
        if bool(target > 0):
            cloud = _advance(twisted, cloud, target, batch, generator)
        else:
            cloud = replace(cloud, x=cloud.twist.guided, level=target)
        return State(cloud.x[systematic(cloud.log_weights, batch, generator)], cloud)


def _advance(twisted: Twisted, cloud: Population, target: Tensor, batch: int, generator: torch.Generator) -> Population:
    """One step of the proposal, and what it does to the weights."""
    sigma, twist = cloud.level, cloud.twist
    span = torch.log(sigma / target)
    kept = torch.exp(-2 * span)
    u = target * (-torch.expm1(-2 * span)).sqrt()
    ahead, guided = twist.denoised, twist.guided
    if cloud.trend is not None:
        share = span / cloud.trend.span / 2
        ahead, guided = ahead + share * cloud.trend.denoised, guided + share * cloud.trend.guided
    z = normal_like(cloud.x, generator)
    x = kept * cloud.x + (1 - kept) * guided + u * z
    shift = (1 - kept) * (guided - ahead) / u
    after = _twist(twisted, x, target, batch)
    gain = after.log - twist.log - inner(z, shift).double() - 0.5 * inner(shift, shift).double()
    trend = Trend(after.denoised - twist.denoised, after.guided - twist.guided, span)
    return replace(cloud, x=x, log_weights=cloud.log_weights + gain, twist=after, level=target, trend=trend)


def _twist(twisted: Twisted, x: Tensor, sigma: Tensor, batch: int) -> Twist:
    """The twist of all particles, as many at a time as the walk has draws: what was found to fit in memory."""
    parts = [twisted.at(part, sigma) for part in x.split(batch)]
    return Twist(*(torch.cat(column) for column in zip(*parts, strict=True)))
