r"""Moments and outer order statistics of each pixel, without the draws: for volumes, of which few fit in memory.

The mean and the standard deviation are Welford's.  The interval of level L of n draws lies between order statistics at
the positions :math:`(n + 1)(1 - L)/2` from either end (:meth:`scorefield.Samples.quantile`), so these and those further
out are enough.  The interval is exact, and needs the memory of :math:`(1 - L)(n + 1) + 4` images in place of n.

References:
    Welford, Technometrics 1962.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.runs.cost import Cost
from scorefield.runs.moments import Moments
from scorefield.samples.draws import group, position
from scorefield.samples.keep import NONE, Keep, Keeper, Sampling
from scorefield.store.tensors import TensorFile

FILE = TensorFile("scorefield.summary", "a summary of draws", "give a file that Summary.save wrote")


@dataclass(frozen=True)
class Summary:
    """Statistics of each pixel, without the draws.

    Complex images: mean and std are those of the complex pixels; quantiles and intervals are of the magnitude.

    Args:
        moments: mean and standard deviation of all draws.
        lowest: the smallest values of each pixel, increasing: (m, C, *spatial).
        highest: the largest values of each pixel, increasing: (m, C, *spatial).
        cost: the cost of all draws.
        provenance: their origin, JSON-able.
        nuisance: parameters of the operator that were drawn with them, by name: (n, k) each, all of them.
    """

    moments: Moments = field(repr=False)
    lowest: Tensor = field(repr=False)
    highest: Tensor = field(repr=False)
    cost: Cost = field(default_factory=Cost)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    nuisance: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of draws."""
        return self.moments.count

    @property
    def mean(self) -> Tensor:
        """The MMSE estimate, shaped like one image."""
        return torch.as_tensor(self.moments.mean)

    @property
    def std(self) -> Tensor:
        """Posterior standard deviation of each pixel."""
        return self.moments.std

    def quantile(self, q: float) -> Tensor:
        """The ``q`` quantile of each pixel, equal to :meth:`scorefield.Samples.quantile` in every bit.

        Raises:
            InputError: q outside (0, 1), a single draw, or a quantile nearer to the median than the stored values.
        """
        n, m = len(self), len(self.lowest)
        low, share = position(n, q)
        if low + 1 < m:
            below, above = self.lowest[low], self.lowest[low + 1]
        elif low >= n - m:
            below, above = self.highest[low - n + m], self.highest[low + 1 - n + m]
        else:
            raise InputError(
                f"The quantile {q:g} of {n} draws is nearer to the median than the {m} values stored at either end;"
                f" sample with keep=Running(level={abs(2 * q - 1):.3g}), or with keep=All()."
            )
        value = below + share * (above - below)
        return value.clamp(min=0) if self.mean.is_complex() else value

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        """The central interval (low, high) into which a new draw falls with probability ``level``."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def save(self, path: str | Path) -> Path:
        """Write one safetensors file (images and metadata, no pickle), all or nothing."""
        record = {"cost": asdict(self.cost), "provenance": dict(self.provenance)}
        moments = {f"moments {name}": value for name, value in self.moments.tensors.items()}
        nuisance = {f"nuisance {name}": theta for name, theta in self.nuisance.items()}
        return FILE.write(path, {"lowest": self.lowest, "highest": self.highest, **moments, **nuisance}, record)

    @staticmethod
    def load(path: str | Path) -> Summary:
        """Read a file of :meth:`save`.

        Raises:
            InputError: the file is missing or damaged, or does not hold a summary.
        """
        with FILE.reading(path) as (tensors, record):
            moments = Moments.from_tensors(group("moments", tensors))
            cost, provenance = Cost(**record["cost"]), record["provenance"]
            nuisance = group("nuisance", tensors)
            return Summary(moments, tensors["lowest"], tensors["highest"], cost, provenance, nuisance)


@dataclass(frozen=True)
class Running(Keep[Summary]):
    """Mean, standard deviation and the intervals of ``level`` and above, without the draws.

    Args:
        level: probability of the narrowest interval that the summary must answer.
        batch, progress: see :class:`Keep`.

    Raises:
        InputError: a level outside [0, 1).
    """

    level: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.level < 1:
            raise InputError(f"The level of an interval is a probability in [0, 1), got {self.level:g}.")

    def begin(self, sampling: Sampling) -> Keeper[Summary]:
        return _Summarizer(sampling, min(sampling.n, math.floor((sampling.n + 1) * (1 - self.level) / 2 + 1e-9) + 2))


class _Summarizer(Keeper[Summary]):
    def __init__(self, sampling: Sampling, m: int):
        self.sampling, self.m, self.moments = sampling, m, Moments()
        self.lowest: Tensor | None = None
        self.highest: Tensor | None = None
        self.nuisance: list[Mapping[str, Tensor]] = []

    def add(self, first: int, draws: Tensor, cost: Cost, nuisance: Mapping[str, Tensor] = NONE) -> None:
        self.moments.update(draws)
        self.nuisance.append(nuisance)
        values = draws.abs() if draws.is_complex() else draws
        low = values if self.lowest is None else torch.cat([self.lowest, values])
        high = values if self.highest is None else torch.cat([self.highest, values])
        self.lowest = low.sort(0).values[: self.m].clone()
        self.highest = high.sort(0).values[-self.m :].clone()

    def result(self, cost: Cost) -> Summary:
        if self.lowest is None or self.highest is None:
            raise InputError("A summary needs at least 1 draw.")
        nuisance = {name: torch.cat([part[name] for part in self.nuisance]) for name in self.nuisance[0]}
        return Summary(self.moments, self.lowest, self.highest, cost, self.sampling.provenance, nuisance)
