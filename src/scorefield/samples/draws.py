"""Samples: draws from a distribution over images, and their statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from scorefield.arguments import as_tensor
from scorefield.errors import InputError
from scorefield.runs.cost import Cost
from scorefield.runs.moments import Moments
from scorefield.runs.provenance import merge_origins
from scorefield.store.tensors import TensorFile

if TYPE_CHECKING:
    from typing import Self

FILE = TensorFile("scorefield.samples", "samples", "give a file that Samples.save wrote")


def position(n: int, q: float) -> tuple[int, float]:
    """The place of the quantile ``q`` among ``n`` sorted draws.

    Returns:
        The index of the draw below it, and the share of the gap from there to the next draw; the sum of both is
        (n + 1) q - 1.  Beyond the outermost draws the share is below 0 or above 1.

    Raises:
        InputError: q outside (0, 1), or a single draw.
    """
    if not 0 < q < 1 or n < 2:
        raise InputError(f"A quantile needs 0 < q < 1 and at least 2 draws, got q = {q:g} and {n} draws.")
    place = (n + 1) * q - 1
    low = min(max(int(place // 1), 0), n - 2)
    return low, place - low


def group(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file whose names begin with ``name`` and a space, by the rest of their names."""
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name} ")}


@dataclass(frozen=True)
class Samples:
    """Draws from a posterior (or prior), with their cost and their origin.

    Complex images: mean and std are those of the complex pixels; quantiles and intervals are of the magnitude, whose
    mean and std are those of :attr:`magnitudes`.

    Args:
        draws: (n, C, *spatial).
        cost: the cost of all of them.
        provenance: their origin, JSON-able.
        nuisance: parameters of the operator that were drawn with them, by name: (n, k) each.
    """

    kinds: ClassVar[dict[str, type[Samples]]] = {}  # the classes that a file can hold, by their names

    draws: Tensor
    cost: Cost = field(default_factory=Cost)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    nuisance: Mapping[str, Tensor] = field(default_factory=dict)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Samples.kinds[cls.__name__] = cls

    def __post_init__(self) -> None:
        object.__setattr__(self, "draws", as_tensor(self.draws, "draws"))
        if self.draws.ndim < 2 or not len(self.draws):
            raise InputError(f"Samples need draws (n, ...) with n >= 1, got shape {tuple(self.draws.shape)}.")

    def __len__(self) -> int:
        return len(self.draws)

    @property
    def mean(self) -> Tensor:
        """The MMSE estimate, shaped like one image."""
        return self.draws.mean(0)

    @property
    def std(self) -> Tensor:
        """Posterior standard deviation of each pixel."""
        return Moments().update(self.draws).std

    @property
    def magnitudes(self) -> Samples:
        """The samples of the magnitude of each pixel; real samples are returned as they are."""
        if not self.draws.is_complex():
            return self
        return Samples(self.draws.abs(), self.cost, self.provenance, self.nuisance)

    @cached_property
    def ordered(self) -> Tensor:
        """The draws, magnitudes where they are complex, sorted pixel by pixel: (n, C, *spatial).

        They are sorted at the first use and then stay in memory; they are as large as the draws.
        """
        return (self.draws.abs() if self.draws.is_complex() else self.draws).sort(0).values

    def quantile(self, q: float) -> Tensor:
        """The ``q`` quantile of each pixel, at the plotting position (n + 1) q between order statistics.

        That position makes the quantile unbiased in coverage: a new draw falls below it with probability q exactly when
        (n + 1) q is whole: 19 draws give 90 % intervals from the smallest to the largest of them.  Beyond the outermost
        draws it is extrapolated, so that intervals of few draws are not too narrow; a magnitude is never below 0.

        Raises:
            InputError: q outside (0, 1), or a single draw.
        """
        low, share = position(len(self.draws), q)
        value = self.ordered[low] + share * (self.ordered[low + 1] - self.ordered[low])
        return value.clamp(min=0) if self.draws.is_complex() else value

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        """The central interval (low, high) into which a new draw falls with probability ``level``."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def merge(self, other: Samples) -> Samples:
        """The draws of both.

        Both must have the same origin but for seeds, batches and versions of the software.  Seeds and batches become
        lists; versions that differ become a list too.

        Raises:
            InputError: shapes or origins differ, or both drew with the same seed.
        """
        if self.draws.shape[1:] != other.draws.shape[1:]:
            raise InputError(f"Cannot merge draws of shapes {tuple(self.draws.shape)} and {tuple(other.draws.shape)}.")
        provenance = merge_origins(self.provenance, other.provenance)
        if self.nuisance.keys() != other.nuisance.keys():
            raise InputError("Cannot merge draws that came with different nuisance parameters.")
        nuisance = {name: torch.cat([theta, other.nuisance[name]]) for name, theta in self.nuisance.items()}
        return Samples(torch.cat([self.draws, other.draws]), self.cost + other.cost, provenance, nuisance)

    def save(self, path: str | Path) -> Path:
        """Write one safetensors file (draws and metadata, no pickle), all or nothing."""
        record = {"class": type(self).__name__, "cost": asdict(self.cost), "provenance": dict(self.provenance)}
        return FILE.write(path, self._tensors(), record)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of :meth:`save`; the file of a subsample gives a :class:`~scorefield.samples.Subsample`.

        Raises:
            InputError: the file is missing or damaged, or does not hold samples of this class.
        """
        with FILE.reading(path) as (tensors, record):
            kind = Samples.kinds.get(record.get("class", ""), Samples)
            if not issubclass(kind, cls):
                raise TypeError(f"it holds {kind.__name__}, not {cls.__name__}")
            cost, provenance = Cost(**record["cost"]), record["provenance"]
            return kind(cost=cost, provenance=provenance, **kind._fields(tensors))

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors of a file."""
        return {"draws": self.draws, **{f"nuisance {name}": theta for name, theta in self.nuisance.items()}}

    @classmethod
    def _fields(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """The fields that :meth:`_tensors` wrote."""
        return {"draws": tensors["draws"], "nuisance": group("nuisance", tensors)}
