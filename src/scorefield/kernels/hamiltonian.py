r"""The Metropolis step that MALA and Hamiltonian Monte Carlo share.

With a momentum :math:`p \sim N(0, I)` the law of (x, p) has :math:`-\log` density
:math:`H = -\log p_\sigma(x) + \|p\|^2/2`.  Leapfrog steps of stride :math:`\epsilon`,

.. math::
    p \leftarrow p + \tfrac{\epsilon}{2} s(x), \qquad x \leftarrow x + \epsilon p, \qquad
    p \leftarrow p + \tfrac{\epsilon}{2} s(x),

preserve volume, and flipping p reverses them.  So accepting their end with probability
:math:`\min(1, e^{H - H'})` leaves :math:`p_\sigma` unchanged, for every stride.  One leapfrog step of
:math:`\epsilon = \sqrt{2a}` is the Langevin proposal of step a, and its H - H' the Metropolis-Hastings ratio of that
proposal: MALA is the case of one step.

References:
    Duane, Kennedy, Pendleton, Roweth, Phys. Lett. B 1987; Neal, "MCMC using Hamiltonian dynamics", 2011, arXiv
    1206.1901.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Info, State
from scorefield.kernels.acceptance import Acceptance, Point
from scorefield.linalg.solve import inner
from scorefield.prior import Prior
from scorefield.randomness import exponential_like, normal_like


@dataclass(frozen=True)
class Chain:
    """The memory of a Metropolis kernel: its last point, so that the prior computes it once.

    Args:
        point: images with their score and log-density.
        prior: the prior that computed them.
        sigma: their level.
    """

    point: Point
    prior: Prior
    sigma: Tensor

    def where(self, chosen: Tensor, other: Chain) -> Chain:
        """This memory for the images ``chosen`` (B,), the other for the rest."""
        return replace(other, point=self.point.where(chosen, other.point))

    @property
    def acceptance(self) -> Tensor:
        """Not here any more: a state reports it.

        Raises:
            InputError: always.
        """
        raise InputError("The acceptance is in state.info.acceptance now, not in state.memory.acceptance.")

    def knows(self, prior: Prior, x: Tensor, sigma: Tensor) -> bool:
        """Whether the point is still of this prior, at this level, and where the images are now."""
        return prior is self.prior and bool(sigma == self.sigma) and torch.equal(x, self.point.x)


@dataclass(frozen=True)
class Hamiltonian:
    """One proposal by leapfrog steps, accepted or rejected by each chain on its own.

    Args:
        stride: epsilon, 0-d.
        leapfrogs: steps in a proposal, one score each.
        acceptance: gives the difference of log-densities.
    """

    stride: Tensor
    leapfrogs: int
    acceptance: Acceptance

    def step(
        self, prior: Prior, state: State[Chain | None], sigma: Tensor, generator: torch.Generator
    ) -> State[Chain | None]:
        chain = self._chain(prior, state, sigma)
        here = chain.point
        momentum = normal_like(here.x, generator)
        there, after = self._leap(prior, here, momentum, sigma)
        fall = (inner(momentum, momentum) - inner(after, after)) / 2
        threshold = -exponential_like(fall, generator)
        # a proposal that overflowed is NaN here, compares as False and is rejected
        gain, error = self.acceptance.gain(prior, here, there, sigma)
        accepted = threshold < gain + fall
        point = there.where(accepted, here)
        # half the range of the acceptance probability, over the range of the gain; NaN is rejected without doubt
        doubt = (_probability(gain + fall + error) - _probability(gain + fall - error)) / 2
        made = Info(torch.ones_like(fall), accepted.to(fall.dtype), doubt=doubt.nan_to_num(0.0))
        return State(point.x, Chain(point, prior, sigma), state.info + made)

    def _chain(self, prior: Prior, state: State[Chain | None], sigma: Tensor) -> Chain:
        """The memory, computed anew where the prior, the level or the images have changed."""
        old = state.memory
        if old is not None and old.knows(prior, state.x, sigma):
            return old
        return Chain(self._point(prior, state.x, prior.score(state.x, sigma), sigma), prior, sigma)

    def _point(self, prior: Prior, x: Tensor, score: Tensor, sigma: Tensor) -> Point:
        return Point(x, score, self.acceptance.height(prior, x, sigma))

    def _leap(self, prior: Prior, here: Point, momentum: Tensor, sigma: Tensor) -> tuple[Point, Tensor]:
        """The end of the trajectory, and the momentum there."""
        x, score = here.x, here.score
        for _ in range(self.leapfrogs):
            momentum = momentum + self.stride / 2 * score
            x = x + self.stride * momentum
            score = prior.score(x, sigma)
            momentum = momentum + self.stride / 2 * score
        return self._point(prior, x, score, sigma), momentum


def _probability(gain: Tensor) -> Tensor:
    """Of accepting, ``min(1, exp(gain))``."""
    return gain.clamp(max=0).exp()
