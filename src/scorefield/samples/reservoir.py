"""A few draws of many, and the moments of all.

Reservoir sampling takes in draws one by one: draw i replaces one of the k in the reservoir with probability k/i.  So
each set of k among the draws so far is equally likely, however many there are.

References:
    Vitter, "Random sampling with a reservoir", ACM TOMS 1985, algorithm R.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.randomness import stream
from scorefield.runs.cost import Cost
from scorefield.runs.moments import Moments
from scorefield.samples.draws import Samples, group
from scorefield.samples.keep import NONE, Keep, Keeper, Sampling


@dataclass(frozen=True)
class Subsample(Samples):
    """k draws of n, with the mean and the standard deviation of all n.

    Quantiles, and everything else that needs draws, use the k draws.  Their error is small: the true level of the
    quantile q of k draws has the standard deviation sqrt(q (1 - q) / k).

    Args:
        moments: mean and standard deviation of all n draws.
    """

    moments: Moments = field(default_factory=Moments, repr=False)

    @property
    def mean(self) -> Tensor:
        """The MMSE estimate from all draws, shaped like one image."""
        return torch.as_tensor(self.moments.mean)

    @property
    def std(self) -> Tensor:
        """Posterior standard deviation of each pixel from all draws."""
        return self.moments.std

    def _tensors(self) -> dict[str, Tensor]:
        return super()._tensors() | {f"moments {name}": value for name, value in self.moments.tensors.items()}

    @classmethod
    def _fields(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        return super()._fields(tensors) | {"moments": Moments.from_tensors(group("moments", tensors))}

    def merge(self, other: Samples) -> Samples:
        """Not possible: subsamples of different runs do not stand for equally many draws.

        Raises:
            InputError: always.
        """
        raise InputError("A subsample cannot be merged; sample with keep=All() to merge runs.")


@dataclass(frozen=True)
class Reservoir(Keep[Subsample]):
    """``size`` exchangeable draws of n, and the moments of all n.

    Args:
        size: number of draws in the result; all of them where fewer are made.
        batch, progress: see :class:`Keep`.

    Raises:
        InputError: a size below 1.
    """

    size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise InputError(f"A reservoir holds at least 1 draw, got size = {self.size}.")

    def begin(self, sampling: Sampling) -> Keeper[Subsample]:
        return _Reservoir(sampling, self.size)


class _Reservoir(Keeper[Subsample]):
    def __init__(self, sampling: Sampling, size: int):
        self.sampling, self.size, self.moments = sampling, size, Moments()
        self.draws: list[Tensor] = []
        self.nuisance: list[Mapping[str, Tensor]] = []
        # a stream of its own, so that the draws of the sampling stay the same
        self.generator = torch.Generator().manual_seed(stream(sampling.provenance["seed"], "reservoir"))

    def add(self, first: int, draws: Tensor, cost: Cost, nuisance: Mapping[str, Tensor] = NONE) -> None:
        self.moments.update(draws)
        for row, draw in enumerate(draws):
            theta = {name: part[row].clone() for name, part in nuisance.items()}
            if first + row < self.size:
                self.draws.append(draw.clone())
                self.nuisance.append(theta)
                continue
            place = int(torch.randint(first + row + 1, (), generator=self.generator))
            if place < self.size:
                self.draws[place], self.nuisance[place] = draw.clone(), theta

    def result(self, cost: Cost) -> Subsample:
        sizes = {"draws": self.sampling.n, "size": len(self.draws)}
        nuisance = {name: torch.stack([row[name] for row in self.nuisance]) for name in self.nuisance[0]}
        origin = {**self.sampling.provenance, "subsample": sizes}
        return Subsample(torch.stack(self.draws), cost, origin, nuisance, moments=self.moments)
