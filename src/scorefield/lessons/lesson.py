r"""A lesson: how :func:`scorefield.train` trains a prior.

``prior.lesson()`` answers with one object: which part of the prior learns, how batches are cut from images, what the
learning part minimizes, and what happens when its weights are final.  ``train`` also takes a changed lesson::

    lesson = replace(prior.lesson(), cut=Windows(32, augment=()))  # dataclasses.replace
    train(lesson, images)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from scorefield.objectives.base import Objective
from scorefield.prior import Prior
from scorefield.schedules import Geometric, Schedule

P = TypeVar("P", bound=Prior, covariant=True)
LEVELS = Geometric(0.005, 2.0)  # noise levels of training by default, in units of the images' intensity
Finish = Callable[[Sequence[Tensor], torch.Generator], None]


class Batches(Protocol):
    """Batches (B, ...) as a function of the step's number and its own generator."""

    def __call__(self, step: int, generator: torch.Generator, /) -> Tensor: ...


class Cut(ABC):
    """How batches are cut from images.

    Attributes:
        side: side of a crop of full size, in pixels; images are at least so large.
        known: how many of the last channels of a crop are known: they get no noise and have no error.
        memory: bytes of images in memory at a time.
    """

    side: int
    known: int = 0
    memory: int = 2**30

    @abstractmethod
    def batches(self, images: Sequence[Tensor], n: int, *, seed: int = 0) -> Batches:
        """Batches to train on.

        Args:
            images: (C, H, W); a list or a tuple is in memory, other sequences are read as needed.
            n: crops of full size in a batch.
            seed: fixes the order in which images are read, where they do not fit in memory.
        """

    @abstractmethod
    def exam(self, images: Sequence[Tensor], n: int) -> Batches:
        """Batches of ``n`` unchanged crops of full size from the images (C, H, W), for validation."""


@dataclass(frozen=True)
class PreparedBatches(Cut):
    """Batches of the caller, in place of crops of the images.

    Args:
        prepared: the batches.
        cut: cuts the crops for validation, and states their size.
    """

    prepared: Batches
    cut: Cut

    @property
    def side(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.cut.side

    @property
    def known(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.cut.known

    @property
    def memory(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.cut.memory

    def batches(self, images: Sequence[Tensor], n: int, *, seed: int = 0) -> Batches:
        return self.prepared

    def exam(self, images: Sequence[Tensor], n: int) -> Batches:
        return self.cut.exam(images, n)


def nothing(images: Sequence[Tensor], generator: torch.Generator) -> None:
    """Do nothing: most priors are complete when their weights are final."""
    del images, generator


@dataclass(frozen=True, eq=False)
class Lesson(Generic[P]):
    """How one prior is trained.

    Args:
        prior: what ``train`` returns.
        trainee: the part of it that learns: a prior on the crops, which shares its weights with ``prior``.
        cut: how batches are cut from images.
        objective: what the trainee minimizes on a batch.
        finish: called as ``finish(images, generator)`` when the weights are final, with up to 32 of the images
            (C, H, W), in the prior's units; it sets what has a closed form.
    """

    prior: P
    trainee: Prior
    cut: Cut
    objective: Objective
    finish: Finish = nothing

    def lesson(self) -> Lesson[P]:
        """Itself, so that ``train`` takes a lesson like a prior."""
        return self

    def over(self, noise: Schedule) -> Lesson[P]:
        """The same lesson with other noise levels.

        Args:
            noise: law of sigma.

        Raises:
            InputError: the objective has one fixed level.
        """
        return replace(self, objective=self.objective.over(noise))


class Learner(Protocol[P]):
    """An argument of ``train``: a prior, or its lesson with changes."""

    def lesson(self) -> Lesson[P]:
        """The lesson that trains it."""
        ...
