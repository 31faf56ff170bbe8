"""Distances as multiples of the Monte-Carlo floor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.calibration.floors import floor
from scorefield.errors import InputError


class Ratio(NamedTuple):
    """A distance from exact draws, relative to the distance of exact draws from each other.

    Args:
        value: mean distance over the floor; 1 for exact draws.
        z: difference of the mean distance and the floor, in standard deviations of one distance of exact samples.
    """

    value: float
    z: float


class Yardstick:
    """A distance in units of its Monte-Carlo floor: ``yardstick(draws)`` is a :class:`Ratio`.

    Args:
        distance: of two samples (n, *event), such as a sliced Wasserstein distance with fixed directions.
        exact: ``exact(n, generator)`` draws from the exact law (n, *event).
        n: number of draws of every sample to be measured.
        repeats: number of exact samples that each sample is compared with, and of pairs that give the floor; at least
            2.
        generator: draws the exact samples.

    Attributes:
        floor: the mean distance of exact draws from exact draws.

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
        """The mean distance of the draws (n, *event) from exact samples, in units of the floor.

        Raises:
            InputError: another number of draws.
        """
        if len(draws) != self.n:
            raise InputError(
                f"This yardstick is for {self.n} draws, got {len(draws)}; its floor falls with their number."
            )
        distances = [self.distance(draws, self.exact(self.n, self.generator)) for _ in range(self.repeats)]
        mean = torch.stack(distances).double().mean().item()
        # one sample is compared with several exact ones, so the distances share its error and their mean keeps it
        error = self.floor.error * math.sqrt(self.repeats + 1)
        return Ratio(mean / self.floor.mean, (mean - self.floor.mean) / error)
