r"""The Metropolis-adjusted Langevin algorithm."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import refuse_arguments
from scorefield.kernel import State
from scorefield.kernels.acceptance import Acceptance, ByDensityOrPath
from scorefield.kernels.drift import Drift
from scorefield.kernels.hamiltonian import Chain, Hamiltonian
from scorefield.prior import Prior


@refuse_arguments(step_size="write MALA(Absolute(...))")
@dataclass(frozen=True)
class MALA(Drift[Chain | None]):
    r"""Langevin proposals :math:`x' = x + a\,s(x,\sigma) + \sqrt{2a}\,z`, accepted or rejected: exact for every a.

    Accepted with probability :math:`\min(1, p(x') q(x|x') / p(x) q(x'|x))`,
    :math:`\log q(x'|x) = -\|x' - x - a s(x)\|^2/4a`, by each chain on its own; :mod:`scorefield.kernels.hamiltonian`
    has the algebra.  It stays at ``sigma``: ``target`` is not used.  ``state.info.acceptance`` is the fraction
    accepted so far by each chain, best near 0.57 in high dimensions; one score and one log-density a step, or
    six scores where there is no density.

    See :class:`Drift` for the rate.

    Args:
        acceptance: by the density where there is one, by the path else (:class:`ByDensityOrPath`), or only by one of
            them: :class:`ByDensity` needs a prior with ``log_prob``, :class:`ByPath` a score.

    Raises:
        InputError: at the first step, when the prior has no ``log_prob`` and acceptance is :class:`ByDensity`.

    References:
        Besag 1994; Roberts & Tweedie, Bernoulli 1996; Roberts & Rosenthal, J. R. Stat. Soc. B 1998 (0.574).
    """

    acceptance: Acceptance = field(default=ByDensityOrPath(), kw_only=True)

    def step(
        self, prior: Prior, state: State[Chain | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Chain | None]:
        return Hamiltonian((2 * self.size(sigma)).sqrt(), 1, self.acceptance).step(prior, state, sigma, generator)
