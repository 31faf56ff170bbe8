"""An image of coarse pixels: the scan of super-resolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scorefield.errors import InputError
from scorefield.noise import White
from scorefield.operators import Downsample
from scorefield.scans.scan import Scan


@dataclass(frozen=True, eq=False, repr=False)
class LowResolution(Scan):
    r"""Means of blocks of pixels, with noise: an image of fewer, larger pixels.

    Args:
        data: the coarse image (C, \*spatial), real or complex, in the image's unit.
        noise: the law of the data.
        frame: of the fine image, whose pixels are ``factor`` times smaller.
        factor: pixels of the image along the side of one of the data.

    Raises:
        InputError: as :class:`Scan`; data that are no image, or a factor that is not a whole number >= 2.
    """

    factor: int

    @classmethod
    def example(cls) -> LowResolution:
        data = torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(0))
        return cls(data, 2, noise=White(0.1))

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.data.shape[0], *(n * self.factor for n in self.data.shape[1:]))

    @property
    def shape_of_data(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    def operator(self) -> Downsample:
        return Downsample(self.shape, self.factor)

    def _check(self) -> None:
        if self.data.ndim not in (3, 4):
            raise InputError(f"The coarse image has shape {tuple(self.data.shape)}; give (C, H, W) or (C, X, Y, Z).")
        if isinstance(self.factor, bool) or not isinstance(self.factor, int) or not 2 <= self.factor <= 1024:
            raise InputError(f"The scan's factor is {self.factor!r}; give a whole number from 2 to 1024.")
