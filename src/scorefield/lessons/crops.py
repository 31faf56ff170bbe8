r"""Training crops: windows of images at random places.

A batch is a pure function of the images, the step and the generator, and keeps nothing between steps.  With a generator
seeded from (seed, step), a run that was killed at step s and continues there gets the same crops to the bit, and so
does every process of a distributed run.

An image of :math:`a_k` pixels is chosen with probability :math:`a_k / \sum_j a_j`, then a window uniformly among those
that lie inside: up to the borders, the crops are a fair sample of the pixels of the data set.  :class:`Balance`
mixes them otherwise.  If

.. math:: p = \tau \, p(\cdot \mid \text{textured}) + (1 - \tau) \, p(\cdot \mid \text{flat})

is the law of the crops, the prior learns the same mixture with ``share`` in place of :math:`\tau`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.lessons.augmentations import Augmentation, Dihedral


@dataclass(frozen=True)
class Balance:
    r"""A fixed share of textured crops in each batch, for images whose background would fill most of it.

    A crop is textured if its standard deviation, the largest over the channels, exceeds ``threshold``.  Of
    ``candidates`` windows for each crop of the batch, the batch takes the first textured and the first flat ones
    in the proportion ``share``; it repeats a kind of which there are too few, and leaves out a kind of which there are
    none.

    This tilts the law that the prior learns: ``share`` of it are textured crops, whatever their share of the images, so
    the prior expects more texture than there is, most of all where noise hides the kind of a crop.  Within each kind
    the law is untouched.

    Args:
        share: fraction of textured crops, 0 to 1; exact on average over steps, within one crop in each batch.
        threshold: standard deviation in image units; the default, a twentieth of the intensity of normalized images,
            is exceeded by 14 to 35 per cent of the 3 x 3 patches of brain MR slices, and half of those of CT slices of
            the torso and of photographs.
        candidates: windows drawn for each crop of the batch.
    """

    share: float = 0.5
    threshold: float = 0.05
    candidates: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or not self.threshold >= 0 or self.candidates < 1:
            raise InputError("Balance needs 0 <= share <= 1, threshold >= 0 and candidates >= 1.")

    def texture(self, crops: Tensor) -> Tensor:
        """Standard deviation of each crop, the largest over its channels: (n,), in image units."""
        pixels = crops.flatten(2)
        return (pixels - pixels.mean(-1, keepdim=True)).abs().square().mean(-1).amax(1).sqrt()

    def __call__(self, crops: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """``n`` of the candidates ``crops`` (m, C, side, side), m >= n."""
        textured = (self.texture(crops) > self.threshold).cpu()
        kinds = [textured.nonzero().squeeze(1), (~textured).nonzero().squeeze(1)]
        if not all(map(len, kinds)):
            return crops[:n]
        wanted = int(n * self.share + torch.rand((), generator=generator, dtype=torch.float64).item())
        counts = (wanted, n - wanted)
        kept = torch.cat([kind[torch.arange(count) % len(kind)] for kind, count in zip(kinds, counts, strict=True)])
        return crops[kept[torch.randperm(n, generator=generator)]]


@dataclass(frozen=True, eq=False)
class Crops:
    """Random crops of images: ``crops(step, generator)`` is a batch (n, C, side, side).

    Args:
        images: tensors (C, H, W), real or complex, of any sizes from ``side``, with the same channels and dtype,
            all in memory; or a function from the step to the images in memory at that step, a mapping from their
            number in the data set, a new one whenever they change (:class:`scorefield.lessons.pool.Pool`).
        side: side of a crop, in pixels.
        n: crops in a batch.
        augment: changes of the crops, one after another (:mod:`scorefield.lessons.augmentations`).
        balance: how to mix flat and textured crops; as in the images by default.

    Raises:
        InputError: no images, one smaller than a crop or unlike the first, or a side or number below 1.
    """

    images: Sequence[Tensor] | Callable[[int], Mapping[int, Tensor]]
    side: int
    n: int
    augment: tuple[Augmentation, ...] = field(default=(Dihedral(),), kw_only=True)
    balance: Balance | None = field(default=None, kw_only=True)

    _memory: _Images = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.side < 1 or self.n < 1:
            raise InputError(f"Crops need a side and a number of at least 1, got {self.side} and {self.n}.")
        if not callable(self.images):
            object.__setattr__(self, "images", tuple(self.images))
            self._take(dict(enumerate(self.images)))  # pyright: ignore[reportArgumentType]

    def __call__(self, step: int, generator: torch.Generator) -> Tensor:
        """The batch of ``step``, (n, C, side, side)."""
        if callable(self.images):
            self._take(self.images(step))
        if self.balance is None:
            crops = self._memory.draw(self.side, self.n, generator)
        else:
            candidates = self._memory.draw(self.side, self.n * self.balance.candidates, generator)
            crops = self.balance(candidates, self.n, generator)
        for change in self.augment:
            crops = change(crops, generator)
        return crops

    def _take(self, images: Mapping[int, Tensor]) -> None:
        """Check and flatten ``images``, once as long as they are the same object."""
        memory = getattr(self, "_memory", None)
        if memory is None or memory.images is not images:
            object.__setattr__(self, "_memory", _Images(images, self.side, memory.parts if memory else {}))


class _Part(NamedTuple):
    """An image, also flattened to (C, H W), and its height and width."""

    image: Tensor
    flat: Tensor
    size: tuple[int, int]


class _Images:
    """Images in memory, checked and flattened; those among the ``known`` parts are already."""

    def __init__(self, images: Mapping[int, Tensor], side: int, known: Mapping[int, _Part]):
        if not images:
            raise InputError("There are no images to train on; give at least one.")
        first, like = next(((k, part.image) for k, part in known.items()), next(iter(images.items())))
        self.images, self.parts = images, {}
        for k, image in images.items():
            part = known.get(k)
            if part is None or part.image is not image:
                _check_size(k, image, side)
                _check_alike(k, image, first, like)
                part = _Part(image, image.flatten(1), (image.shape[1], image.shape[2]))
            self.parts[k] = part
        self.flat = [part.flat for part in self.parts.values()]
        self.sizes = torch.tensor([part.size for part in self.parts.values()])
        self.areas = self.sizes.prod(1).double()

    def draw(self, side: int, n: int, generator: torch.Generator) -> Tensor:
        """``n`` windows (n, C, side, side), images in proportion to their area."""
        chosen, order = torch.multinomial(self.areas, n, replacement=True, generator=generator).sort(stable=True)
        sizes = self.sizes[chosen]
        coins = torch.rand(n, 2, generator=generator, dtype=torch.float64)
        top, left = (coins * (sizes - side + 1)).long().unbind(1)
        width, span = sizes[:, 1, None, None], torch.arange(side)
        places = (top[:, None, None] + span[:, None]) * width + left[:, None, None] + span
        numbers, counts = chosen.unique_consecutive(return_counts=True)
        groups = zip(numbers.tolist(), places.to(self.flat[0].device).split(counts.tolist()), strict=True)
        found = torch.cat([self.flat[k].index_select(1, mine.flatten()) for k, mine in groups], 1)
        crops = found.new_empty(n, len(found), side, side)
        crops[order] = found.reshape(-1, n, side, side).transpose(0, 1)
        return crops


def _check_size(k: int, image: Tensor, side: int) -> None:
    if image.ndim != 3 or min(image.shape[1:]) < side:
        raise InputError(f"Image {k} has shape {tuple(image.shape)}; training needs (C, H, W) with H, W >= {side}.")
    if not (image.is_floating_point() or image.is_complex()):
        raise InputError(f"Image {k} is of {image.dtype}; convert the images to real or complex floating point.")


def _check_alike(k: int, image: Tensor, first: int, like: Tensor) -> None:
    if image.dtype != like.dtype or len(image) != len(like):
        raise InputError(
            f"Image {k} has {len(image)} channel(s) of {image.dtype} but image {first} has {len(like)} of {like.dtype};"
            " make them alike."
        )
