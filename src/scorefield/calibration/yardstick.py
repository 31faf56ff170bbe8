"""Distances as multiples of the Monte-Carlo floor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.calibration.floor import floor
from scorefield.errors import InputError


class Ratio(NamedTuple):
    """A distance from exact draws against the distance that exact draws have among themselves.

    Args:
        value: mean distance over mean floor; 1 is exact.
        z: their difference in standard deviations of one distance between exact samples.
    """

    value: float
    z: float


class Yardstick:
    """A distance measured in :func:`floors <scorefield.calibration.floor>`: ``yardstick(draws)`` is a :class:`Ratio`.

    Args:
        distance: of two samples (n, *event), such as a sliced Wasserstein distance with fixed directions.
        exact: draws from the exact law.
        n: draws of every sample that will be measured.
        repeats: exact samples that each is compared with, and pairs of them behind the floor; at least 2.
        generator: draws the exact samples.

    Attributes:
        floor: mean distance of exact draws from exact draws.

    Raises:
        InputError: fewer than 2 repeats.
    """

    def __init__(
        self,
        distance: Callable[[Tensor, Tensor], Tensor],
        exact: Callable[[int, torch.Generator], Tensor],
        n: int,
        *,
        repeats: int = 8,
        generator: torch.Generator,
    ):
        self.distance, self.exact, self.n, self.repeats, self.generator = distance, exact, n, repeats, generator
        self.floor = floor(distance, exact, n, repeats=repeats, generator=generator)

    def __call__(self, draws: Tensor) -> Ratio:
        """Mean distance of the draws (n, *event) from exact samples, in floors.

        Raises:
            InputError: another number of draws.
        """
        if len(draws) != self.n:
            raise InputError(
                f"This yardstick is for {self.n} draws, got {len(draws)}; its floor falls with their number."
            )
        each = [self.distance(draws, self.exact(self.n, self.generator)) for _ in range(self.repeats)]
        found = torch.stack(each).double().mean().item()
        # the sample measured is one, the exact ones are many: between the error of one distance and that of their mean
        error = self.floor.error * math.sqrt(self.repeats + 1)
        return Ratio(found / self.floor.mean, (found - self.floor.mean) / error)
