r"""Data sets larger than memory: a window that slides over an endless sequence of random orders of the images.

Let :math:`\pi_0, \pi_1, \ldots` be permutations of the N images; the stream (seed, e) gives that of pass e.  Let
:math:`q = (\pi_0, \pi_1, \ldots)` be their concatenation.  In memory at step s are the images

.. math:: \{ q_t, \ldots, q_{t + K - 1} \}, \qquad t = \lfloor s / \mathrm{every} \rfloor,

a pure function of s: a training that continues at s reads this window and goes on as if it had never stopped, and each
process of a distributed training has the same images.  Each image is in memory for K consecutive t of every pass, so
all have the same share of the steps (an image that is in the window from two passes at once counts once).

K is the largest number such that the K largest images together fit in memory; hence any K of them fit.  If all N fit,
all are read once and stay.
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

    For :class:`scorefield.lessons.crops.Crops`, where the images do not fit in memory.  The mapping is a new one
    whenever the window has moved.  Moving it reads the new images only, in ascending order of their numbers,
    so that slices of one volume come one after another.

    Args:
        images: tensors (C, H, W) that do not change between two reads, such as :class:`scorefield.data.Normalized`.
            If it has ``sizes``, the bytes of each, nothing is read before the first step; else the largest of up to 16
            evenly spaced ones stands for all.
        memory: bytes for the images in the window; while it moves, the new ones need memory beside.
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
        self._window: dict[int, Tensor] = {}
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
            self._place = None  # in case reading fails
            numbers = self.numbers(step)
            self._window = {k: self._window[k] for k in numbers if k in self._window}  # before reading more
            self._window = {k: self._window[k] if k in self._window else self.images[k] for k in numbers}
            self._place = place
        return self._window


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
