"""How long to train."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from scorefield.errors import InputError


class Budget(ABC):
    """How long to train; the part that is used grows from 0 to 1 and sets the learning rate."""

    @abstractmethod
    def used(self, step: int, seconds: float) -> float:
        """Fraction of the budget spent after ``step`` steps and ``seconds``."""

    def over(self, epoch: Callable[[], float]) -> Budget:
        """The same budget on one data set.

        Args:
            epoch: says in how many steps the crops cover the data set once; it may have to look at every image.
        """
        del epoch
        return self


@dataclass(frozen=True)
class Steps(Budget):
    """A number of optimizer steps: reproducible to the bit."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"Training needs at least 1 step, got {self.count}.")

    def used(self, step: int, seconds: float) -> float:
        return step / self.count


@dataclass(frozen=True)
class Epochs(Budget):
    """Times through the data: one epoch is as many crops as cover every pixel once on average."""

    count: float

    def __post_init__(self) -> None:
        if not self.count > 0:
            raise InputError(f"Training needs a positive number of epochs, got {self.count:g}.")

    def over(self, epoch: Callable[[], float]) -> Budget:
        return Steps(max(1, math.ceil(self.count * epoch())))

    def used(self, step: int, seconds: float) -> float:
        raise InputError("Epochs are counted over a data set; give 'descend' a number of Steps.")


@dataclass(frozen=True)
class Minutes(Budget):
    """A wall-clock budget; how many steps fit depends on the machine."""

    count: float

    def __post_init__(self) -> None:
        if not self.count > 0:
            raise InputError(f"Training needs a positive number of minutes, got {self.count:g}.")

    def used(self, step: int, seconds: float) -> float:
        return seconds / (60 * self.count)
