r"""Hamiltonian Monte Carlo."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.kernels.acceptance import Acceptance, ByDensity
from scorefield.kernels.hamiltonian import Chain, Hamiltonian
from scorefield.prior import Prior


@dataclass(frozen=True)
class HMC(Kernel[Chain | None]):
    r"""A proposal of ``leapfrogs`` leapfrog steps with a fresh momentum, accepted or rejected: exact for every stride.

    It stays at ``sigma``: ``target`` plays no part.  One score a leapfrog step and one log-density a proposal;
    ``state.info.acceptance`` is the fraction accepted so far by each chain.

    Args:
        rate: stride of a leapfrog step in units of ``sigma^exponent``.  With the exponent 1, the trajectory of a score
            at level sigma is stable for rate < 2.
        leapfrogs: steps in a proposal.
        step_size: the stride itself, for levels where sigma is no yardstick (0, or a posterior); overrides rate.
        exponent: how the stride falls with the level; Ramzi et al. take 1.5.
        acceptance: :class:`ByDensity` needs a prior with ``log_prob``, :class:`ByPath` only its score.

    Raises:
        InputError: numbers that are not positive; at the first step, when the prior has no ``log_prob`` and acceptance
            is by density.

    References:
        Duane, Kennedy, Pendleton, Roweth, Phys. Lett. B 1987; Neal 2011, arXiv 1206.1901.
    """

    rate: float = 0.5
    leapfrogs: int = 3
    step_size: float | None = field(default=None, kw_only=True)
    exponent: float = field(default=1.0, kw_only=True)
    acceptance: Acceptance = field(default=ByDensity(), kw_only=True)

    def __post_init__(self) -> None:
        if not self.rate > 0 or (self.step_size is not None and not self.step_size > 0):
            raise InputError("HMC needs a positive rate, and a positive step_size when one is given.")
        if self.leapfrogs < 1:
            raise InputError(f"HMC needs leapfrogs >= 1, got {self.leapfrogs}.")

    def step(
        self, prior: Prior, state: State[Chain | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Chain | None]:
        return Hamiltonian(self._stride(sigma), self.leapfrogs, self.acceptance).step(prior, state, sigma, generator)

    def _stride(self, sigma: Tensor) -> Tensor:
        if self.step_size is not None:
            return torch.as_tensor(self.step_size, dtype=sigma.dtype)
        if not bool(sigma > 0):
            raise InputError("HMC's rate is in units of the noise level; at sigma = 0 give it a step_size.")
        return self.rate * sigma**self.exponent
