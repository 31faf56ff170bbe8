"""The move along the score that Langevin dynamics and gradient ascent share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.prior import Prior


@dataclass(frozen=True)
class Drift(Kernel):
    """``x + a s(x, sigma)`` at level ``sigma``; a subclass says what is added.

    Args:
        rate: step a in units of sigma^2; a score at level sigma is stable for rate < 2.
        step_size: the step a itself, for levels where sigma^2 is no yardstick (0, or a posterior); overrides rate.
    """

    rate: float = 0.1
    step_size: float | None = None

    def __post_init__(self) -> None:
        if not self.rate > 0 or (self.step_size is not None and not self.step_size > 0):
            name = type(self).__name__
            raise InputError(f"{name} needs a positive rate, and a positive step_size when one is given.")

    def _size(self, sigma: Tensor) -> Tensor:
        if self.step_size is not None:
            return torch.as_tensor(self.step_size, dtype=sigma.dtype)
        if not bool(sigma > 0):
            raise InputError(f"{type(self).__name__}'s rate is in units of sigma^2; at sigma = 0 give it a step_size.")
        return self.rate * sigma**2

    def _drifted(self, prior: Prior, x: Tensor, sigma: Tensor) -> Tensor:
        return x + self._size(sigma) * prior.score(x, sigma)
