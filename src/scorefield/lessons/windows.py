"""Square windows at random places of the images: the training batches of most priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scorefield.lessons.augmentations import Augmentation, Dihedral
from scorefield.lessons.crops import Balance, Crops
from scorefield.lessons.lesson import Batches, Cut
from scorefield.lessons.pool import Pool


@dataclass(frozen=True)
class Windows(Cut):
    """Windows of ``side`` x ``side`` pixels (:class:`scorefield.lessons.crops.Crops`).

    Args:
        side: side of a window, in pixels.
        augment: changes of the windows in training, one after another (:mod:`scorefield.lessons.augmentations`).
        balance: how to mix flat and textured windows in training; as in the images by default.
        memory: bytes of images in memory at a time; others are read as needed (:class:`scorefield.lessons.pool.Pool`).
        known: how many of the last channels are known.
    """

    side: int
    augment: tuple[Augmentation, ...] = (Dihedral(),)
    balance: Balance | None = None
    memory: int = 2**30
    known: int = 0

    def batches(self, images: Sequence[Tensor], n: int, *, seed: int = 0) -> Batches:
        in_memory = isinstance(images, (list, tuple))
        source = tuple(images) if in_memory else Pool(images, memory=self.memory, seed=seed)
        return Crops(source, self.side, n, augment=self.augment, balance=self.balance)

    def exam(self, images: Sequence[Tensor], n: int) -> Batches:
        return Crops(images, self.side, n)
