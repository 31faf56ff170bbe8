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
from scorefield.kernels.steps import Anchored, Relative
from scorefield.linalg.parts import as_rows
from scorefield.prior import Prior

QUADRATURE = ByPath(4)  # Simpson's rule on four intervals, as published
LEAPFROGS = 3  # as published
STRIDE = 1.7  # over d^(1/4) and sigma; 0.8 of the proposals are accepted in 8 dimensions, 0.96 in 4096


@dataclass(frozen=True)
class AnnealedHMC(Kernel[Chain | None]):
    r"""Proposals of ``kernel`` at ``sigma`` until each chain has accepted ``accepted`` of them; then the chain waits.

    Walked down a geometric grid this is tempering by score alone.  The published sampler of posteriors is
    ``Then(AnnealedHMC(), FinalDenoise())`` on ``posteriors.AnnealedLikelihood``, whose data term is compared at noise
    variance :math:`\sigma_y^2 + \sigma^2`, over levels that fall by 0.995 each.

    The stride of a leapfrog step is :math:`1.7\,d^{-1/4}\sigma` for images of d real numbers.  The fraction of sigma is
    stable on that posterior, whose precision is at most :math:`2/\sigma^2`, and the power of d keeps the acceptance.
    The published stride, :math:`10\,(\sigma/100)^{1.5}`, is for images times 1e6, of intensity 200.  On images of
    intensity 1 it is too short to move them, so it is not the default; it is :meth:`published`.

    A chain at a level is exact except for its stopping rule; changes of the level are never rejected.

    Args:
        kernel: one proposal; None is the relative stride above, three leapfrog steps and ``ByPath(4)``.
        accepted: proposals that each chain must accept at a level; 2 is published.
        proposals: largest number of proposals at a level, so that a chain that is stuck ends.

    References:
        Ramzi, Remy, Lanusse, Starck, Ciuciu, "Denoising score-matching for uncertainty quantification in inverse
        problems", NeurIPS workshop 2020, arXiv 2011.08698.  Beskos, Pillai, Roberts, Sanz-Serna, Stuart, Bernoulli
        2013, arXiv 1001.4460 (the power of d).
    """

    kernel: HMC | None = None
    accepted: int = field(default=2, kw_only=True)
    proposals: int = field(default=20, kw_only=True)

    def __post_init__(self) -> None:
        if not 1 <= self.accepted <= self.proposals:
            raise InputError(f"AnnealedHMC needs 1 <= accepted <= proposals, got {self.accepted} and {self.proposals}.")

    @classmethod
    def published(cls, amplitude: float = 1.0) -> AnnealedHMC:
        """The published proposals, with the stride 10 u (sigma/100 u)^1.5.

        Args:
            amplitude: u, the size of an image that the paper calls 1, in the units of the image: 1/200 of the
                intensity, as the paper's images are displayed between 0 and 200.

        Raises:
            InputError: an amplitude that is not positive.
        """
        return cls(HMC(Anchored(10 * amplitude, at=100 * amplitude, exponent=1.5), LEAPFROGS, acceptance=QUADRATURE))

    def proposal(self, x: Tensor) -> HMC:
        """The kernel, or that with the default stride for images like ``x`` (B, ...)."""
        stride = Relative(STRIDE * as_rows(x).shape[1] ** -0.25)
        return self.kernel or HMC(stride, LEAPFROGS, acceptance=QUADRATURE)

    def step(
        self, prior: Prior, state: State[Chain | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Chain | None]:
        kernel = self.proposal(state.x)
        before, waits = state.info.accepted, torch.zeros(len(state.x), dtype=torch.bool, device=state.x.device)
        for _ in range(self.proposals):
            proposal = kernel.step(prior, state, sigma, target, generator)
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
