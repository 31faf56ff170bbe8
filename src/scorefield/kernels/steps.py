"""Lengths of the steps of Langevin dynamics, of gradient ascent and of leapfrog trajectories.

A score at level sigma sets a natural unit: ``sigma^2`` for a step along the score, ``sigma`` for a leapfrog stride.  A
step is a fraction of that unit (:class:`Relative`), a length known at one level that changes by a power of the unit
(:class:`Anchored`), or an absolute number where sigma is not the natural unit, at level 0 or under a posterior
(:class:`Absolute`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError


class StepSize(ABC):
    """The length of a step, in terms of its natural unit."""

    @abstractmethod
    def of(self, unit: Tensor) -> Tensor:
        """The length (0-d) where the natural unit is ``unit`` (0-d)."""


@dataclass(frozen=True)
class Relative(StepSize):
    """``fraction * unit^exponent``.

    Args:
        fraction: positive; a step along a score at level sigma is stable for a fraction below 2.
        exponent: power of the unit with which the step falls.

    Raises:
        InputError: a fraction that is not positive; at a step, a unit of 0.
    """

    fraction: float
    exponent: float = 1.0

    def __post_init__(self) -> None:
        if not self.fraction > 0:
            raise InputError(f"A relative step is a positive fraction of the level, got {self.fraction:g}.")

    def of(self, unit: Tensor) -> Tensor:
        if not bool(unit > 0):
            raise InputError(
                f"A relative step has no length at sigma = 0; give the kernel an absolute one, as Absolute(1e-3), in"
                f" place of Relative({self.fraction:g})."
            )
        return self.fraction * unit**self.exponent


@dataclass(frozen=True)
class Absolute(StepSize):
    """The same length at every level.

    Args:
        size: positive, in units of the image squared for a step along the score, of the image for a leapfrog stride.

    Raises:
        InputError: a size that is not positive.
    """

    size: float

    def __post_init__(self) -> None:
        if not self.size > 0:
            raise InputError(f"An absolute step needs a positive size, got {self.size:g}.")

    def of(self, unit: Tensor) -> Tensor:
        return torch.as_tensor(self.size, dtype=unit.dtype)


@dataclass(frozen=True)
class Anchored(StepSize):
    """``size * (unit / at)^exponent``: the length at one level, and the power with which it changes from there.

    In other units of the image ``size`` and ``at`` change as lengths and units do.

    Args:
        size: positive, the length where the natural unit is ``at``.
        at: positive, a natural unit: a level for a leapfrog stride, its square for a step along the score.
        exponent: power of the unit.

    Raises:
        InputError: a size or a unit that is not positive.
    """

    size: float
    at: float
    exponent: float = 1.0

    def __post_init__(self) -> None:
        if not (self.size > 0 and self.at > 0):
            raise InputError(f"An anchored step needs a positive size and unit, got {self.size:g} and {self.at:g}.")

    def of(self, unit: Tensor) -> Tensor:
        return self.size * (unit / self.at) ** self.exponent


def as_step(rate: StepSize | float) -> StepSize:
    """The step size; a number is a relative step."""
    return rate if isinstance(rate, StepSize) else Relative(rate)
