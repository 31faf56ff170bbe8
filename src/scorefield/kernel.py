"""Kernels: one step of a sampler, and how steps combine.

A kernel moves images from noise level ``sigma`` to ``target``.  It asks the prior for scores or denoised images and
knows nothing of data: conditioning is the prior's business.  What a kernel must remember travels in its ``State``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Prior


@dataclass(frozen=True)
class State:
    """Images at some noise level, and what the kernel remembers of the way there.

    Args:
        x: current images (B, C, *spatial).
        memory: the kernel's own; None at the start.
    """

    x: Tensor
    memory: Any = None

    def at(self, x: Tensor) -> State:
        """The same memory at other images."""
        return replace(self, x=x)


class Kernel(ABC):
    """One step of a sampler."""

    def start(self, x: Tensor) -> State:
        """The state before the first step."""
        return State(x)

    @abstractmethod
    def step(self, prior: Prior, state: State, sigma: Tensor, target: Tensor, generator: torch.Generator) -> State:
        """From ``sigma`` to ``target`` (both 0-d), ``target <= sigma``."""


@dataclass(frozen=True)
class Then(Kernel):
    """``first``, then ``second``, each with its own memory: a predictor, then a corrector."""

    first: Kernel
    second: Kernel

    def start(self, x: Tensor) -> State:
        return State(x, (self.first.start(x), self.second.start(x)))

    def step(self, prior: Prior, state: State, sigma: Tensor, target: Tensor, generator: torch.Generator) -> State:
        first, second = state.memory
        first = self.first.step(prior, first.at(state.x), sigma, target, generator)
        second = self.second.step(prior, second.at(first.x), sigma, target, generator)
        return State(second.x, (first, second))


@dataclass(frozen=True)
class Repeat(Kernel):
    """``kernel`` stepped ``times`` times between the same two levels; for kernels that stay where they are."""

    kernel: Kernel
    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise InputError(f"Repeat needs times >= 1, got {self.times}.")

    def start(self, x: Tensor) -> State:
        return self.kernel.start(x)

    def step(self, prior: Prior, state: State, sigma: Tensor, target: Tensor, generator: torch.Generator) -> State:
        for _ in range(self.times):
            state = self.kernel.step(prior, state, sigma, target, generator)
        return state
