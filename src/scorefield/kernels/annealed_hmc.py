r"""Annealed Hamiltonian Monte Carlo."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.kernels.acceptance import ByPath
from scorefield.kernels.hamiltonian import Chain
from scorefield.kernels.hmc import HMC
from scorefield.kernels.steps import Relative
from scorefield.prior import Prior

PUBLISHED = HMC(Relative(0.01, exponent=1.5), 3, acceptance=ByPath(4))  # stride 10 (sigma/100)^1.5


@dataclass(frozen=True)
class AnnealedHMC(Kernel[Chain | None]):
    r"""Proposals of ``kernel`` at ``sigma`` until each chain has accepted ``accepted`` of them; then the chain waits.

    Walked down a geometric grid this is tempering by score alone.  The published sampler of posteriors is
    ``Then(AnnealedHMC(), FinalDenoise())`` on ``posteriors.AnnealedLikelihood``, whose data term is compared at noise
    variance :math:`\sigma_y^2 + \sigma^2`, over levels that fall by 0.995 each.  Its defaults are those of images times
    1e6: stride :math:`10\,(\sigma/100)^{1.5}`, three leapfrog steps, Simpson's rule on four intervals.  In other units
    give ``HMC`` a rate and an exponent that follow the narrowest width of the posterior at each level.

    A chain at a level is exact except for its stopping rule; changes of the level are never rejected.

    Args:
        kernel: one proposal.
        accepted: proposals that each chain must accept at a level; 2 is published.
        proposals: largest number of proposals at a level, so that a chain that is stuck ends.

    References:
        Ramzi, Remy, Lanusse, Starck, Ciuciu, "Denoising score-matching for uncertainty quantification in inverse
        problems", NeurIPS workshop 2020, arXiv 2011.08698.
    """

    kernel: HMC = PUBLISHED
    accepted: int = field(default=2, kw_only=True)
    proposals: int = field(default=20, kw_only=True)

    def __post_init__(self) -> None:
        if not 1 <= self.accepted <= self.proposals:
            raise InputError(f"AnnealedHMC needs 1 <= accepted <= proposals, got {self.accepted} and {self.proposals}.")

    def start(self, x: Tensor) -> State[Chain | None]:
        return self.kernel.start(x)

    def step(
        self, prior: Prior, state: State[Chain | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Chain | None]:
        before, waits = state.info.accepted, torch.zeros(len(state.x), dtype=torch.bool, device=state.x.device)
        for _ in range(self.proposals):
            proposal = self.kernel.step(prior, state, sigma, target, generator)
            state = _where(waits, state, proposal)
            waits = torch.as_tensor(state.info.accepted - before >= self.accepted)
            if bool(waits.all()):
                break
        return state


def _where(chosen: Tensor, here: State[Chain | None], there: State[Chain | None]) -> State[Chain | None]:
    """``here`` for the chains ``chosen`` (B,), ``there`` for the rest."""
    if here.memory is None or there.memory is None:
        return there
    chain = here.memory.where(chosen, there.memory)
    return State(chain.point.x, chain, here.info.where(chosen, there.info))
