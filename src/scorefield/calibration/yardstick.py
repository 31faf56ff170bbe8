r"""Distances as multiples of the Monte-Carlo floor, with an interval over seeds.

A sampler is scored by the distance of its draws from an exact sample, over the distance of a second exact sample from
the first.  Both are averaged over seeds, because a population of draws errs as a whole: the draws of one seed cannot
tell a bias from chance.  The score of a perfect sampler is 1.  Draws of which each counts for :math:`1/\kappa` exact
ones have about :math:`\sqrt{(1 + \kappa)/2}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.calibration.floors import floor
from scorefield.errors import InputError


class Ratio(NamedTuple):
    """A mean distance from exact draws, relative to the mean distance of exact draws from each other.

    Args:
        value: mean distance over the floor; 1 for exact draws.
        low: lower end of the 95 % interval of ``value``, from the scatter over the seeds and that of the floor.
        high: its upper end.
    """

    value: float
    low: float
    high: float


class Yardstick:
    """A distance in units of its Monte-Carlo floor: ``yardstick(*samples)`` is a :class:`Ratio`.

    Args:
        distance: of two samples (n, *event), such as a sliced Wasserstein distance with fixed directions.
        exact: ``exact(n, generator)`` draws from the exact law (n, *event).
        n: number of draws of every sample to be measured.
        repeats: number of exact samples that each sample is compared with; at least 2.
        pairs: number of pairs of exact samples behind the floor; at least 2.
        generator: draws the exact samples.

    Attributes:
        floor: the mean distance of exact draws from exact draws.

    Raises:
        InputError: fewer than 2 repeats or pairs.
    """

    def __init__(
        self,
        distance: Callable[[Tensor, Tensor], Tensor],
        exact: Callable[[int, torch.Generator], Tensor],
        n: int,
        *,
        repeats: int = 8,
        pairs: int = 64,
        generator: torch.Generator,
    ):
        if repeats < 2:
            raise InputError(f"A yardstick compares with repeats >= 2 exact samples, got {repeats}.")
        self.distance, self.exact, self.n, self.repeats, self.generator = distance, exact, n, repeats, generator
        self.floor = floor(distance, exact, n, repeats=pairs, generator=generator)

    def measure(self, draws: Tensor) -> float:
        """The mean distance of the draws (n, *event) of one seed from exact samples.

        Raises:
            InputError: another number of draws.
        """
        if len(draws) != self.n:
            raise InputError(
                f"This yardstick is for {self.n} draws, got {len(draws)}; its floor falls with their number."
            )
        distances = [self.distance(draws, self.exact(self.n, self.generator)) for _ in range(self.repeats)]
        return torch.stack(distances).double().mean().item()

    def __call__(self, *samples: Tensor) -> Ratio:
        """The mean distance of samples (n, *event) from exact ones, in units of the floor.

        Args:
            samples: one for each of several seeds of the sampler; 8 in the tables of the documentation.

        Raises:
            InputError: fewer than 2 samples, or another number of draws.
        """
        if len(samples) < 2:
            raise InputError(
                f"A score needs samples of at least 2 seeds, got {len(samples)}; chance and bias look alike in one."
            )
        return self.ratio([self.measure(draws) for draws in samples])

    def ratio(self, distances: list[float]) -> Ratio:
        """The score of a sampler whose seeds have these mean distances (:meth:`measure`)."""
        from scipy.special import stdtrit  # costs a second, so only when used

        values, count = torch.tensor(distances, dtype=torch.float64), len(distances)
        mean, error = float(values.mean()), float(values.std()) / math.sqrt(count)
        spread = math.hypot(error / mean, self.floor.error / self.floor.mean)  # of the logarithm of the ratio
        factor, value = math.exp(float(stdtrit(count - 1, 0.975)) * spread), mean / self.floor.mean
        return Ratio(value, value / factor, value * factor)
