"""Kernels: one step of a sampler, and how steps combine.

A kernel moves images from noise level ``sigma`` to ``target``.  It asks the prior for scores or denoised images and
knows nothing of data: conditioning is the prior's business.  A kernel has no state of its own.  What the next step
needs travels in the ``memory`` of a :class:`State`, whose type M is the parameter of ``Kernel[M]`` and ``State[M]``;
what a step reports to the user is its :class:`Info`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.portable import Portable
from scorefield.prior import Prior

M = TypeVar("M")
A = TypeVar("A")
B = TypeVar("B")
NOTHING: Any = None  # the memory of a kernel that remembers nothing, of any type M


@dataclass(frozen=True)
class Info:
    """What a kernel reports of its steps so far.  It informs the user; the images do not depend on it.

    Args:
        proposals: number of proposals of each chain since the start, at all levels, (B,); 0 for kernels that accept
            every move.
        accepted: number of proposals that each chain accepted, (B,).
        doubt: sum over the proposals of each chain of the error of their acceptance probability, (B,); above 0 where
            the acceptance is a line integral of the score (``kernels.ByPath``).
        nuisance: parameters of the operator that were drawn with the images, by name, (B, k) each.
    """

    proposals: Tensor | float = 0.0
    accepted: Tensor | float = 0.0
    doubt: Tensor | float = field(default=0.0, kw_only=True)
    nuisance: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def acceptance(self) -> Tensor:
        """The fraction of proposals that each chain accepted: (B,).

        Raises:
            InputError: a chain has made no proposal.
        """
        return self.accepted / self._made()

    @property
    def path_error(self) -> Tensor:
        """The mean error of the acceptance probability, estimated for each chain by two rules on the same points: (B,).

        It is 0 where a density decides.  A step of the chain differs from the exact one by as much in total variation,
        and its law by at most that times the number of steps in which it forgets its start.  Where this is too large
        use more intervals, ``ByPath(8)``, or shorter steps.

        Raises:
            InputError: a chain has made no proposal.
        """
        return self.doubt / self._made()

    def _made(self) -> Tensor:
        proposals = torch.as_tensor(self.proposals)
        if not bool((proposals > 0).all()):
            raise InputError(
                "No proposal was made, so there is no acceptance; use a kernel that proposes, such as MALA or HMC."
            )
        return proposals

    def where(self, chosen: Tensor, other: Info) -> Info:
        """A report with the entries of this one for the images ``chosen`` (B,), and those of ``other`` for the rest."""
        mine, theirs = ([torch.as_tensor(c) for c in (i.proposals, i.accepted, i.doubt)] for i in (self, other))
        rows = chosen.unsqueeze(-1)
        nuisance = {name: torch.where(rows, here, other.nuisance[name]) for name, here in self.nuisance.items()}
        proposals, accepted, doubt = (torch.where(chosen, *pair) for pair in zip(mine, theirs, strict=True))
        return Info(proposals, accepted, nuisance, doubt=doubt)

    def __add__(self, other: Info) -> Info:
        """The report of two kernels together."""
        nuisance = {**self.nuisance, **other.nuisance}  # where both have a name, the later one
        proposals, accepted = self.proposals + other.proposals, self.accepted + other.accepted
        return Info(proposals, accepted, nuisance, doubt=self.doubt + other.doubt)


@dataclass(frozen=True)
class State(Generic[M]):
    """Images at some noise level, what the kernel remembers of the way there, and what it reports.

    Args:
        x: current images (B, C, *spatial).
        memory: what the kernel remembers; None for a kernel that remembers nothing, or has made no step.
        info: what the kernel reports.
    """

    x: Tensor
    memory: M = NOTHING
    info: Info = Info()

    def at(self, x: Tensor) -> State[M]:
        """The same memory and report at other images."""
        return replace(self, x=x)


class Kernel(Portable, ABC, Generic[M]):
    """One step of a sampler, whose memory is an M; ``kernel.to(device)`` moves the data that it holds.

    Attributes:
        group: whether the images of a batch depend on each other, as the particles of a population do.
    """

    group: ClassVar[bool] = False

    def start(self, x: Tensor) -> State[M]:
        """The state before the first step.  A kernel whose memory is never None overrides it."""
        return State(x)

    @abstractmethod
    def step(
        self, prior: Prior, state: State[M], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[M]:
        """Move the images from level ``sigma`` to level ``target`` (both 0-d), ``target <= sigma``."""


def is_group(kernel: Kernel[Any]) -> bool:
    """Whether the images that a kernel moves together depend on each other: it, or a kernel inside it, says so."""
    parts = [part for part in vars(kernel).values() if isinstance(part, Kernel)]
    return kernel.group or any(map(is_group, parts))


@dataclass(frozen=True)
class Then(Kernel[tuple[State[A], State[B]]], Generic[A, B]):
    """A step of ``first``, then one of ``second``, such as a predictor and a corrector; each has its own memory."""

    first: Kernel[A]
    second: Kernel[B]

    def start(self, x: Tensor) -> State[tuple[State[A], State[B]]]:
        return State(x, (self.first.start(x), self.second.start(x)))

    def step(
        self,
        prior: Prior,
        state: State[tuple[State[A], State[B]]],
        sigma: Tensor,
        target: Tensor,
        generator: torch.Generator,
    ) -> State[tuple[State[A], State[B]]]:
        first, second = state.memory
        first = self.first.step(prior, first.at(state.x), sigma, target, generator)
        second = self.second.step(prior, second.at(first.x), sigma, target, generator)
        return State(second.x, (first, second), first.info + second.info)


@dataclass(frozen=True)
class Repeat(Kernel[M]):
    """``times`` steps of ``kernel`` between the same two levels, for kernels that stay at a level."""

    kernel: Kernel[M]
    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise InputError(f"Repeat needs times >= 1, got {self.times}.")

    def start(self, x: Tensor) -> State[M]:
        return self.kernel.start(x)

    def step(
        self, prior: Prior, state: State[M], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[M]:
        for _ in range(self.times):
            state = self.kernel.step(prior, state, sigma, target, generator)
        return state
