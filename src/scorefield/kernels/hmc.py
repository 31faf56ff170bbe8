r"""Hamiltonian Monte Carlo."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError, refuse_arguments
from scorefield.kernel import Kernel, State
from scorefield.kernels.acceptance import Acceptance, ByDensityOrPath
from scorefield.kernels.hamiltonian import Chain, Hamiltonian
from scorefield.kernels.steps import Relative, StepSize, as_step
from scorefield.prior import Prior


@refuse_arguments(step_size="write HMC(Absolute(...))", exponent="write HMC(Relative(..., exponent=...))")
@dataclass(frozen=True)
class HMC(Kernel[Chain | None]):
    r"""A proposal of ``leapfrogs`` leapfrog steps with a fresh momentum, accepted or rejected: exact for every stride.

    It stays at ``sigma``: ``target`` is not used.  One score a leapfrog step and one log-density a proposal;
    ``state.info.acceptance`` is the fraction accepted so far by each chain.

    Args:
        rate: stride of a leapfrog step, :class:`Relative` to sigma or :class:`Absolute`; a number is relative.  The
            trajectory of a score at level sigma is stable below 2 sigma.  Ramzi et al. take the exponent 1.5.
        leapfrogs: steps in a proposal.
        acceptance: by the density where there is one, by the path else (:class:`ByDensityOrPath`), or only by one of
            them: :class:`ByDensity` needs a prior with ``log_prob``, :class:`ByPath` a score.

    Raises:
        InputError: numbers that are not positive; at the first step, when the prior has no ``log_prob`` and acceptance
            is :class:`ByDensity`.

    References:
        Duane, Kennedy, Pendleton, Roweth, Phys. Lett. B 1987; Neal 2011, arXiv 1206.1901.
    """

    rate: StepSize | float = field(default=Relative(0.5))
    leapfrogs: int = 3
    acceptance: Acceptance = field(default=ByDensityOrPath(), kw_only=True)

    def __post_init__(self) -> None:
        as_step(self.rate)
        if self.leapfrogs < 1:
            raise InputError(f"HMC needs leapfrogs >= 1, got {self.leapfrogs}.")

    def step(
        self, prior: Prior, state: State[Chain | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Chain | None]:
        return Hamiltonian(self.stride(sigma), self.leapfrogs, self.acceptance).step(prior, state, sigma, generator)

    def stride(self, sigma: Tensor) -> Tensor:
        """The stride of a leapfrog step (0-d) at level ``sigma`` (0-d).

        Raises:
            InputError: a relative stride at sigma = 0.
        """
        return as_step(self.rate).of(sigma)
