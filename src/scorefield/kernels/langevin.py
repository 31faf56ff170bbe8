r"""Langevin dynamics at a fixed noise level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.noise import normal_like
from scorefield.prior import Prior


@dataclass(frozen=True)
class Langevin(Kernel):
    r"""Unadjusted Langevin step at level ``sigma``: :math:`x + a\,s(x,\sigma) + \sqrt{2a}\,z`, :math:`a =
    rate\,\sigma^2`.

    It stays at ``sigma``: ``target`` plays no part.  Its stationary law is off by O(rate): on N(m, P^-1) the
    covariance is
    :math:`P^{-1}(I - aP/2)^{-1}`.

    Args:
        rate: step in units of sigma^2; a score at level sigma is stable for rate < 2.
        step_size: the step ``a`` itself, for levels where sigma^2 is no yardstick (0, or a posterior); overrides rate.

    References:
        Roberts & Tweedie, Bernoulli 1996; Song & Ermon, NeurIPS 2019, arXiv 1907.05600 (their a/2 is our a).
    """

    rate: float = 0.1
    step_size: float | None = None

    def __post_init__(self) -> None:
        if not self.rate > 0 or (self.step_size is not None and not self.step_size > 0):
            raise InputError("Langevin needs a positive rate, and a positive step_size when one is given.")

    def step(self, prior: Prior, state: State, sigma: Tensor, target: Tensor, generator: torch.Generator) -> State:
        a = self.rate * sigma**2 if self.step_size is None else torch.as_tensor(self.step_size, dtype=sigma.dtype)
        noise = (2 * a).sqrt() * normal_like(state.x, generator)
        return state.at(state.x + a * prior.score(state.x, sigma) + noise)
