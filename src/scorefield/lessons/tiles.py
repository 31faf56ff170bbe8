"""Training batches for tilings: patches of images with zeros around them, and the positions of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from scorefield.errors import InputError
from scorefield.lessons.crops import Crops
from scorefield.lessons.lesson import Batches, Cut


@dataclass(frozen=True, eq=False)
class Tiles:
    """Random patches, with a random size for each batch: ``tiles(step, generator)`` is (n, C + 2, side, side).

    The last two channels are the row and the column of each pixel in the image with its zeros, from -1 to 1.

    Args:
        images: (C, H, W), real.
        n: patches in a batch of the largest size; ``sizes`` says how many of the smaller ones.
        pad: zeros on each side of an image, as in :class:`scorefield.priors.Tiling`.
        sizes: side of the patches, their probability, and how many times ``n`` a batch holds.  The defaults are the
            published ones (half of the batches of full size; two and four times as many patches of half and a quarter
            of it).

    Raises:
        InputError: no sizes, one too large for the images, or numbers that are no probabilities.

    References:
        Hu et al. (PaDIS), NeurIPS 2024, arXiv 2406.02462; Wang et al., "Patch diffusion", NeurIPS 2023,
        arXiv 2304.12526.
    """

    images: Sequence[Tensor]
    n: int = 16
    pad: int = field(default=24, kw_only=True)
    sizes: Sequence[tuple[int, float, int]] = field(default=((16, 0.2, 4), (32, 0.3, 2), (64, 0.5, 1)), kw_only=True)

    _crops: list[Crops] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.pad < 0 or not self.sizes:
            raise InputError("Tiles need pad >= 0 and at least one size of patches.")
        if min(p for _, p, _ in self.sizes) < 0 or not sum(p for _, p, _ in self.sizes) > 0:
            raise InputError("The probabilities of the patch sizes are not negative, and not all 0.")
        padded = [_with_positions(image, self.pad) for image in self.images]
        crops = [Crops(padded, side, self.n * times, augment=()) for side, _, times in self.sizes]
        object.__setattr__(self, "_crops", crops)

    def __call__(self, step: int, generator: torch.Generator) -> Tensor:
        """The batch of ``step``."""
        odds = torch.tensor([p for _, p, _ in self.sizes], dtype=torch.float64)
        chosen = int(torch.multinomial(odds, 1, generator=generator))
        return self._crops[chosen](step, generator)


@dataclass(frozen=True)
class TileCut(Cut):
    """Patches to train :class:`scorefield.priors.Tiling`, of three sizes; half of the batches have the largest.

    The row and the column of each pixel are the last two channels, which are known.

    Args:
        side: side of the largest patches, in pixels.
        pad: zeros on each side of an image.
    """

    side: int
    pad: int
    known: int = field(default=2, init=False)

    def batches(self, images: Sequence[Tensor], n: int, *, seed: int = 0) -> Batches:
        """``n`` patches of full size, or more of half and a quarter of it; all images are in memory."""
        p = self.side
        sizes = [(side, odds, times) for side, odds, times in ((p // 4, 0.2, 4), (p // 2, 0.3, 2), (p, 0.5, 1)) if side]
        return Tiles(images, n, pad=self.pad, sizes=sizes)

    def exam(self, images: Sequence[Tensor], n: int) -> Batches:
        return Tiles(images, n, pad=self.pad, sizes=((self.side, 1.0, 1),))


def _with_positions(image: Tensor, pad: int) -> Tensor:
    """An image with zeros around it, and the positions of the pixels: (C + 2, H + 2 pad, W + 2 pad)."""
    if image.is_complex():
        raise InputError("Tiles are cut from real images; train on magnitudes, or on real and imaginary parts apart.")
    padded = F.pad(image, [pad] * 4)
    height, width = padded.shape[1:]
    rows = torch.linspace(-1, 1, height, dtype=image.dtype).reshape(1, -1, 1).expand(1, height, width)
    columns = torch.linspace(-1, 1, width, dtype=image.dtype).expand(1, height, width)
    return torch.cat([padded, rows.to(image.device), columns.to(image.device)])
