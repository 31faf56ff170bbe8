r"""Langevin dynamics at a fixed noise level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import refuse_arguments
from scorefield.kernel import State
from scorefield.kernels.drift import Drift
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@refuse_arguments(step_size="write Langevin(Absolute(...))")
@dataclass(frozen=True)
class Langevin(Drift[None]):
    r"""Unadjusted Langevin step: :math:`x + a\,s(x,\sigma) + \sqrt{2a}\,z` at level ``sigma``.

    See :class:`Drift` for the arguments.  It stays at ``sigma``: ``target`` is not used.  Its stationary law is off
    by O(a): on N(m, P^-1) the covariance is :math:`P^{-1}(I - aP/2)^{-1}`.

    References:
        Roberts & Tweedie, Bernoulli 1996; Song & Ermon, NeurIPS 2019, arXiv 1907.05600 (their a/2 is our a).
    """

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        noise = (2 * self.size(sigma)).sqrt() * normal_like(state.x, generator)
        return state.at(self.ascend(prior, state.x, sigma) + noise)
