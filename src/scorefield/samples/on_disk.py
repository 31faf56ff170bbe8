"""Every draw, in memory and in a file: an interruption loses only the batch that was not finished."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import is_group
from scorefield.randomness import PER_BATCH
from scorefield.runs.cost import Cost
from scorefield.runs.fingerprint import fingerprint
from scorefield.runs.provenance import difference
from scorefield.samples.draws import Samples
from scorefield.samples.keep import NONE, InMemory, Keep, Keeper, Sampling
from scorefield.store.tensors import TensorFile

ADDED = ("intensity", "seen", "trust")  # entries of an origin that a sampling does not make
FILE = TensorFile("scorefield.partial", "unfinished draws", "delete it and start anew")


@dataclass(frozen=True)
class OnDisk(Keep[Samples]):
    """Every draw, in memory and in a file with the batches that a sampling has finished.

    Each draw of :func:`scorefield.sampling.sample` has its own stream of random numbers, so a sampling that continues
    gives the same draws as one without interruption, and one of more draws adds to them.  Another version of Python,
    PyTorch or scorefield may continue the file, and so may a class that has got new fields since.

    Args:
        path: a ``.safetensors`` file; if it exists, the sampling takes its draws and makes the others.
        batch, progress: see :class:`Keep`.

    Attributes:
        draws: finished batches by the number of their first draw.
        nuisance: parameters drawn with them, by the same number.
        cost: the cost of these batches.
        origin: provenance, number of draws, and fingerprint of the numbers behind them.

    Raises:
        InputError: the file is damaged, or, when a sampling begins, holds draws of another sampling.
    """

    path: Path
    draws: dict[int, Tensor] = field(init=False, default_factory=dict)
    nuisance: dict[int, dict[str, Tensor]] = field(init=False, default_factory=dict)
    cost: Cost = field(init=False, default_factory=Cost)
    origin: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "path", Path(self.path))
        if not self.path.exists():
            return
        with FILE.reading(self.path) as (tensors, record):
            draws = {int(name): batch for name, batch in tensors.items() if name.isdecimal()}
            nuisance: dict[int, dict[str, Tensor]] = {first: {} for first in draws}
            for path in tensors.keys() - map(str, draws):
                first, name = path.split(" ", 1)
                nuisance[int(first)][name] = tensors[path]
            values = {"draws": draws, "nuisance": nuisance, "cost": Cost(**record["cost"]), "origin": record["origin"]}
        if "streams" not in record["origin"].get("provenance", {}):
            values["rule"] = PER_BATCH  # version 0.1
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @staticmethod
    def of(path: Path, samples: Samples, numbers: str) -> OnDisk:
        """The draws of a finished sampling, which goes on to more of them.

        Args:
            path: the file for its batches; it must not exist.
            samples: the draws, of a sampling whose draws have a stream each.
            numbers: their :func:`scorefield.runs.fingerprint.fingerprint`.
        """
        own = {name: value for name, value in samples.provenance.items() if name not in ADDED}
        disk = OnDisk(path)
        vars(disk).update(
            draws={0: samples.draws}, nuisance={0: dict(samples.nuisance)}, cost=samples.cost,
            origin={"provenance": own, "draws": len(samples), "numbers": numbers},
        )  # fmt: skip
        return disk

    def setting(self, name: str, default: Any) -> Any:
        return self.origin.get("provenance", {}).get(name, default)

    def begin(self, sampling: Sampling) -> Keeper[Samples]:
        numbers = fingerprint(sampling.prior, sampling.kernel, sampling.start)
        origin = {"provenance": dict(sampling.provenance), "draws": sampling.n, "numbers": numbers}
        origin = json.loads(json.dumps(origin))
        name = difference(self._fixed(sampling), origin)
        if name:
            raise InputError(
                f"{self.path} holds draws of another sampling (its {name} differs); delete it, or repeat the"
                " command that made it."
            )
        return Writer(sampling, self, origin)

    def _fixed(self, sampling: Sampling) -> dict[str, Any]:
        """What of the origin of the draws in the file must be that of the sampling."""
        if not self.origin or self.rule.name == "batch" or is_group(sampling.kernel):
            return self.origin
        free = {"draws"} if sampling.n >= self.origin["draws"] else set()
        origin = {name: value for name, value in self.origin.items() if name not in free}
        own = {name: value for name, value in origin["provenance"].items() if name != "batch"}
        return {**origin, "provenance": own}

    def write(self, draws: InMemory, cost: Cost, origin: Mapping[str, Any]) -> None:
        """Write all finished batches, whole or not at all; ``cost`` is the cost of all of them."""
        tensors = {str(first): batch for first, batch in draws.batches.items()}
        for first, parts in draws.nuisance.items():
            tensors |= {f"{first} {name}": part for name, part in parts.items()}
        FILE.write(self.path, tensors, {"origin": origin, "cost": asdict(cost)})


class Writer(InMemory):
    """Stores every batch in memory, and writes it as soon as it is finished."""

    def __init__(self, sampling: Sampling, disk: OnDisk, origin: Mapping[str, Any]):
        super().__init__(sampling)
        self.disk, self.origin, self.start_time = disk, origin, time.perf_counter()
        self.batches, self.nuisance = dict(disk.draws), dict(disk.nuisance)

    @property
    def finished(self) -> Collection[int]:
        return {first + row for first, batch in self.disk.draws.items() for row in range(len(batch))}

    def add(self, first: int, draws: Tensor, cost: Cost, nuisance: Mapping[str, Tensor] = NONE) -> None:
        super().add(first, draws, cost, nuisance)
        spent = replace(cost, seconds=time.perf_counter() - self.start_time)
        self.disk.write(self, self._total(spent), self.origin)

    def result(self, cost: Cost) -> Samples:
        device = self.sampling.device
        self.batches = {first: batch.to(device) for first, batch in self.batches.items()}
        for first, parts in self.nuisance.items():
            self.nuisance[first] = {name: part.to(device) for name, part in parts.items()}
        return super().result(self._total(cost))

    def _total(self, cost: Cost) -> Cost:
        """``cost`` of this session and the cost of those before it, for the same draws."""
        return replace(self.disk.cost + cost, draws=cost.draws)
