"""What a sampling stores of its draws: the argument ``keep`` of ``sample`` and ``reconstruct``.

:class:`All` stores every draw in memory.  :class:`~scorefield.samples.OnDisk` also writes them to a file, from which an
interrupted sampling continues.  :class:`~scorefield.samples.Running` stores only moments and outer order statistics of
each pixel, :class:`~scorefield.samples.Reservoir` a few draws and the moments of all.  The draws themselves are the
same for every choice.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.prior import Prior
from scorefield.randomness import PER_DRAW, PerDraw
from scorefield.runs.cost import Cost
from scorefield.runs.progress import Silent
from scorefield.samples.draws import Samples
from scorefield.start import Start

NONE: Mapping[str, Tensor] = MappingProxyType({})  # no parameters were drawn


class Result(Protocol):
    """A frozen dataclass with the cost and the origin of a sampling."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def cost(self) -> Cost: ...

    @property
    def provenance(self) -> Mapping[str, Any]: ...


R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Sampling:
    """A sampling that is about to begin.

    Args:
        prior: the prior or posterior to sample.
        kernel: makes the steps.
        start: gives the first images.
        provenance: origin of the draws, JSON-able.
        n: number of draws.
        device: device of the draws.
    """

    prior: Prior
    kernel: Kernel[Any]
    start: Start
    provenance: Mapping[str, Any]
    n: int
    device: torch.device


class Keeper(ABC, Generic[R]):
    """Takes in the draws of one sampling, batch by batch in their order."""

    @property
    def finished(self) -> Collection[int]:
        """Numbers of the draws that exist already."""
        return ()

    @abstractmethod
    def add(self, first: int, draws: Tensor, cost: Cost, nuisance: Mapping[str, Tensor] = NONE) -> None:
        """Take in a batch.

        Args:
            first: number of its first draw.
            draws: (B, *shape).
            cost: the cost of the sampling so far.
            nuisance: parameters of the operator that were drawn with it, by name: (B, k) each.
        """

    @abstractmethod
    def result(self, cost: Cost) -> R:
        """The result of all batches; ``cost`` is the cost of the whole sampling."""


@dataclass(frozen=True)
class Keep(ABC, Generic[R]):
    """What a sampling stores of its draws; the object does not change during a sampling.

    Args:
        batch: number of draws that are walked and stored together; all of them by default.  The draws do not depend on
            it but for rounding, unless the kernel lets the images of a batch compete, as populations do.
        rule: which draws share a stream of random numbers: none (:class:`scorefield.randomness.PerDraw`), or those of a
            batch, as in version 0.1 (:class:`scorefield.randomness.PerBatch`).
        progress: shows how far the sampling is.

    Raises:
        InputError: a batch of no draw.
    """

    batch: int | None = field(default=None, kw_only=True)
    rule: PerDraw = field(default=PER_DRAW, kw_only=True, repr=False)
    progress: Silent = field(default=Silent(), kw_only=True)

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise InputError(f"A batch holds at least 1 draw, got {self.batch}.")

    def with_rule(self, rule: PerDraw) -> Keep[R]:
        """A copy with another rule for the random numbers."""
        other = copy.copy(self)
        vars(other).update(rule=rule)
        return other

    def with_batch(self, batch: int | None, progress: Silent | None = None) -> Keep[R]:
        """A copy with another batch and, if given, another progress."""
        other = copy.copy(self)
        vars(other).update(batch=batch, progress=progress or self.progress)
        return other

    def setting(self, name: str, default: Any) -> Any:
        """The value of ``name`` ("seed" or "batch") in the sampling that this one continues, else ``default``."""
        del name
        return default

    @abstractmethod
    def begin(self, sampling: Sampling) -> Keeper[R]:
        """The object that takes in the draws of ``sampling``."""


def check_keep(keep: object) -> None:
    """Refuse what is no :class:`Keep`, such as the name of a file.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(keep, Keep):
        raise InputError(
            f"keep says what becomes of the draws, and got a {type(keep).__name__}; give an object of"
            " scorefield.samples, such as OnDisk('draws.safetensors')."
        )


class InMemory(Keeper[Samples]):
    """Stores every batch in memory."""

    def __init__(self, sampling: Sampling):
        self.sampling = sampling
        self.batches: dict[int, Tensor] = {}
        self.nuisance: dict[int, Mapping[str, Tensor]] = {}

    def add(self, first: int, draws: Tensor, cost: Cost, nuisance: Mapping[str, Tensor] = NONE) -> None:
        self.batches[first], self.nuisance[first] = draws, nuisance

    def result(self, cost: Cost) -> Samples:
        draws = torch.cat([self.batches[first] for first in sorted(self.batches)])
        parts = [self.nuisance[first] for first in sorted(self.batches)]
        nuisance = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return Samples(draws, cost, self.sampling.provenance, nuisance)


@dataclass(frozen=True)
class All(Keep[Samples]):
    """Every draw, in memory; see :class:`Keep` for the arguments."""

    def begin(self, sampling: Sampling) -> Keeper[Samples]:
        return InMemory(sampling)
