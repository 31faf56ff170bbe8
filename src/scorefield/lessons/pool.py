r"""Data sets larger than memory: a window of images that slides over endless random orders of them all.

Let :math:`\pi_0, \pi_1, \ldots` be permutations of the N images, that of pass e drawn from the stream (seed, e), and
:math:`q = (\pi_0, \pi_1, \ldots)` their concatenation.  In memory at step s are the images

.. math:: \{ q_t, \ldots, q_{t + K - 1} \}, \qquad t = \lfloor s / \mathrm{every} \rfloor,

a pure function of s: a training resumed at s reads this window and goes on as if it had never stopped, and each process
of a distributed one holds the same images.  Each image is in memory for K consecutive t of every pass, so all have the
same share of the steps (where two visits meet at the border of two passes, it is there once).

K is the largest number such that the K largest images together fit in memory; hence any K do.  If all N do, all are
read once and stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.randomness import stream

LOOKS = 16  # images whose sizes stand for all where a sequence does not state them


class Pool:
    """The images in memory at a step: ``pool(step)`` maps numbers in the data set to tensors, in ascending order.

    What :class:`scorefield.lessons.crops.Crops` takes for images that do not fit in memory.  The mapping is a new one
    whenever the window has moved.  Moving it reads the new images only, in ascending order of their numbers,
    so that slices of one volume come one after another.

    Args:
        images: tensors (C, H, W) that are the same whenever read, such as :class:`scorefield.data.Normalized`.  If it
            has ``sizes``, the bytes of each, nothing is read before the first step; else the largest of up to 16 evenly
            spaced ones stands for all.
        memory: bytes for the images held; while the window moves, those that enter come on top.
        seed: fixes the order.
        every: steps between two moves; more where reading takes longer than a step.

    Raises:
        InputError: no images, one that does not fit in memory by itself, or ``every`` below 1.
    """

    def __init__(self, images: Sequence[Tensor], *, memory: int = 2**30, seed: int = 0, every: int = 1):
        if not len(images):
            raise InputError("There are no images to train on; give at least one.")
        if every < 1:
            raise InputError(f"A pool moves every so many steps, at least 1, got {every}.")
        self.images, self.memory, self.seed, self.every = images, memory, seed, every
        sizes = torch.tensor(_sizes(images))
        if sizes.max() > memory:
            largest = int(sizes.argmax())
            name = images.name(largest) if hasattr(images, "name") else f"Image {largest}"  # pyright: ignore
            raise InputError(
                f"{name} takes {int(sizes.max())} bytes but the pool has only {memory};"
                " give it more memory or cut the image."
            )
        self.length = int((sizes.sort(descending=True).values.cumsum(0) <= memory).sum())
        self._orders: dict[int, Tensor] = {}
        self._held: dict[int, Tensor] = {}
        self._place: int | None = None

    def numbers(self, step: int) -> list[int]:
        """Which images are in memory at ``step``, in ascending order."""
        total = len(self.images)
        if self.length == total:
            return list(range(total))
        turn, place = divmod(step // self.every, total)
        known = self._orders
        self._orders = {e: known[e] if e in known else _order(total, self.seed, e) for e in (turn, turn + 1)}
        both = torch.cat(list(self._orders.values()))
        return both[place : place + self.length].unique().tolist()

    def __call__(self, step: int) -> Mapping[int, Tensor]:
        """The images in memory at ``step``, by number."""
        place = 0 if self.length == len(self.images) else step // self.every
        if place != self._place:
            self._place = None  # should reading fail
            numbers = self.numbers(step)
            self._held = {k: self._held[k] for k in numbers if k in self._held}  # the others go before more come
            self._held = {k: self._held[k] if k in self._held else self.images[k] for k in numbers}
            self._place = place
        return self._held


def _order(total: int, seed: int, turn: int) -> Tensor:
    return torch.randperm(total, generator=torch.Generator().manual_seed(stream(seed, "pool", turn)))


def _sizes(images: Sequence[Tensor]) -> list[int]:
    """Bytes of each image."""
    stated = getattr(images, "sizes", None)
    if stated is not None:
        return list(stated)
    few = min(LOOKS, len(images))
    looks = (images[k * len(images) // few] for k in range(few))
    return [max(image.numel() * image.element_size() for image in looks)] * len(images)
