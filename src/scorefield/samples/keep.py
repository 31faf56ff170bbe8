"""What becomes of the draws of a sampling: an object that is given to ``sample`` and ``reconstruct`` as ``keep``.

:class:`All` keeps every draw in memory, :class:`~scorefield.samples.OnDisk` also in a file from which an interrupted
sampling continues, :class:`~scorefield.samples.Running` only moments and the outer order statistics of each pixel,
:class:`~scorefield.samples.Reservoir` a few draws and the moments of all.  Draws themselves do not depend on it.
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
from scorefield.runs.cost import Cost
from scorefield.runs.progress import Silent
from scorefield.samples.draws import Samples
from scorefield.start import Start

NONE: Mapping[str, Tensor] = MappingProxyType({})  # no parameters were drawn


class Result(Protocol):
    """A frozen dataclass with what every result of a sampling says of itself."""

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
        prior: what is sampled.
        kernel: what moves the images.
        start: where walks start.
        provenance: how the draws come about, JSON-able.
        n: number of draws.
        device: where they are made.
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
        """Batches that need not be made, by the number of their first draw."""
        return ()

    @abstractmethod
    def add(self, first: int, draws: Tensor, cost: Cost, nuisance: Mapping[str, Tensor] = NONE) -> None:
        """Take in a batch (B, *shape) by the number of its first draw, and the parameters (B, k) drawn with it.

        ``cost`` is the sampling's so far.
        """

    @abstractmethod
    def result(self, cost: Cost) -> R:
        """What was kept of all batches; ``cost`` is the sampling's."""


@dataclass(frozen=True)
class Keep(ABC, Generic[R]):
    """What becomes of the draws; it has no state of a sampling and may be given to several.

    Args:
        batch: draws that are walked together and handed over at once; all of them by default.  Each batch has its own
            stream of random numbers.
        progress: shows how far the sampling is.

    Raises:
        InputError: a batch of no draw.
    """

    batch: int | None = field(default=None, kw_only=True)
    progress: Silent = field(default=Silent(), kw_only=True)

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise InputError(f"A batch holds at least 1 draw, got {self.batch}.")

    def with_batch(self, batch: int | None, progress: Silent | None = None) -> Keep[R]:
        """The same with another batch and, if given, another progress."""
        other = copy.copy(self)
        vars(other).update(batch=batch, progress=progress or self.progress)
        return other

    def setting(self, name: str, default: Any) -> Any:
        """``name`` ("seed", "batch") of the sampling that this continues, if it continues one."""
        del name
        return default

    @abstractmethod
    def begin(self, sampling: Sampling) -> Keeper[R]:
        """The object that takes in the draws of ``sampling``."""


class InMemory(Keeper[Samples]):
    """Every batch in memory."""

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
