r"""Twisted sequential Monte Carlo: particles that are exact in the limit of many.

The target at level t is the twisted law :math:`\pi_t(x) \propto p_t(x)\, \tilde p_t(y \mid x)`
(:mod:`scorefield.kernels.twist`), which becomes the posterior as t falls.  From s to t both prior and proposal take the
second-order step of :mod:`scorefield.kernels.population`, with one standard deviation u and different means: the
prior's kernel p heads for D, the proposal q for :math:`D_y`.  With
:math:`\delta = (1 - t^2/s^2)(\hat D_y - \hat D)` between the means the log weight of a particle grows by

.. math::
    \log \frac{p(x_t \mid x_s)\, \tilde p_t(y \mid x_t)}{q(x_t \mid x_s)\, \tilde p_s(y \mid x_s)}
    = -\tfrac{1}{u} \langle z, \delta \rangle - \tfrac{1}{2 u^2} \|\delta\|^2
    + \log \tilde p_t(y \mid x_t) - \log \tilde p_s(y \mid x_s).

When uneven weights leave an effective sample size below a fraction of the particles, these are resampled.  Where
:math:`V` is wrong for a multimodal p(x0 | x), the weights correct it; no Gaussian approximation can.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.kernels.population import ParticleFilter, Population
from scorefield.kernels.twist import Twist, Twisted, count
from scorefield.linalg.solve import inner
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class Particles(ParticleFilter):
    """Twisted particles (TDS) with the moment-matched twist, exact as their number and that of the levels grow.

    Walk it with the unconditional prior.  *The batch of the walk is the population*: ``sample(..., batch=64)`` walks
    independent populations of ``64 * oversampling`` particles and returns 64 draws of each.  Draws of one population
    are dependent, and its error is that of all its draws together; only populations are independent.  More draws a
    batch are a better approximation, not only more draws.

    ``state.x`` is, at every level, drawn from the particles with their weights; ``state.memory`` is the
    :class:`Population`, with ``log_evidence`` and ``effective_fraction``.  Nothing else should move ``state.x``
    between steps; a further move of the particles is ``move``.

    Differences from the paper: V = sigma^2 J in place of r^2 I, a second-order reverse step, more particles than draws.
    Walk from well above the distance of the modes, and down to below the posterior's width: the last step, to 0,
    returns E[x0 | x, y].  A level costs ``oversampling`` times one denoiser evaluation and one vector-Jacobian product
    for each real number of data a draw.

    Args:
        measurement: the data.
        oversampling: number of particles per draw.  Draws from four times as many particles have a quarter of the
            variance of the weights.
        threshold: resample when the effective sample size falls below this fraction of the particles; the paper uses
            1/2.
        move: a kernel that leaves ``Twisted`` invariant, applied at every level: ``MALA(rate=0.5)``.  The paper has
            none.
        caution: share of a wider twist, which keeps the particles of modes that the moments do not reach yet
            (:mod:`scorefield.kernels.twist`).  For Gaussian priors 0 is best, for distant modes 0.2.
        rank: data of up to this many real numbers are treated densely; more take this many Krylov iterations.

    Raises:
        InputError: numbers out of range.

    References:
        Wu, Trippe, Naesseth, Blei, Cunningham, NeurIPS 2023, arXiv 2306.17775; Cardoso, Janati, Le Corff, Moulines,
        ICLR 2024, arXiv 2308.07983; Rozet et al., NeurIPS 2024, arXiv 2405.13712 (V).
    """

    move: Kernel[Any] | None = None
    rank: int = 16
    caution: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1 or not 0 <= self.caution < 1:
            raise InputError(
                f"Particles need rank >= 1 and a caution from 0 to below 1, got {self.rank} and {self.caution:g}."
            )
        if self.caution > 0 and count(self.measurement.y) > self.rank:
            raise InputError(
                f"Caution needs the determinant of the data's covariance, but {count(self.measurement.y)} real numbers"
                f" are more than rank={self.rank}; give caution=0, or a rank of at least their number."
            )

    def _twisted(self, prior: Prior) -> Twisted:
        return Twisted(prior, self.measurement, rank=self.rank, caution=self.caution)

    def _enter(self, prior: Prior, x: Tensor, sigma: Tensor, batch: int) -> Population:
        log, goals = _ask(self._twisted(prior), x, sigma, batch)
        return Population(x, log, log, goals, sigma)

    def _advance(
        self, prior: Prior, cloud: Population, target: Tensor, batch: int, generator: torch.Generator
    ) -> Population:
        twisted = self._twisted(prior)
        if self.move is not None:
            cloud = _move(self.move, twisted, cloud, batch, generator)
        if not bool(target > 0):
            return replace(cloud, x=cloud.goals[1], level=target)
        step, z = cloud.step(target), normal_like(cloud.x, generator)
        ahead, guided = step.means
        shift = (guided - ahead) / step.spread
        x = guided + step.spread * z
        log, goals = _ask(twisted, x, target, batch)
        gain = log - cloud.log - inner(z, shift).double() - 0.5 * inner(shift, shift).double()
        return cloud.at(x, target, gain=gain, log=log, goals=goals)


def _move(move: Kernel[Any], twisted: Twisted, cloud: Population, batch: int, generator: torch.Generator) -> Population:
    """The particles after a move at their level; their weights stay."""
    sigma = cloud.level
    states = (move.step(twisted, move.start(part), sigma, sigma, generator) for part in cloud.x.split(batch))
    x = torch.cat([each.x for each in states])
    log, goals = _ask(twisted, x, sigma, batch)
    return replace(cloud, x=x, log=log, goals=goals)


def _ask(twisted: Twisted, x: Tensor, sigma: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """Log of the twist (M,), and the goals D and D_y (2, M, *event), ``batch`` particles at a time."""
    parts = [twisted.at(part, sigma) for part in x.split(batch)]
    denoised, guided, log = Twist(*(torch.cat(column) for column in zip(*parts, strict=True)))
    return log, torch.stack([denoised, guided])
