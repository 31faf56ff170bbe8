"""An image with noise: the scan of denoising."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scorefield.errors import InputError
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.scans.scan import Scan


@dataclass(frozen=True, eq=False, repr=False)
class NoisyImage(Scan):
    r"""Every pixel was measured, with noise: ``y = x + n``.

    Args:
        data: the image with its noise (C, \*spatial), real or complex, in its own unit.
        noise: the law of the data; ``Rician`` for magnitudes.
        frame: of the image.

    Raises:
        InputError: as :class:`Scan`; data that are no image.
    """

    @classmethod
    def example(cls) -> NoisyImage:
        return cls(torch.rand(1, 5, 6, generator=torch.Generator().manual_seed(0)), noise=White(0.1))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def shape_of_data(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    def operator(self) -> Identity:
        return Identity(self.shape)

    def _check(self) -> None:
        if self.data.ndim not in (3, 4):
            raise InputError(f"The noisy image has shape {tuple(self.data.shape)}; give (C, H, W) or (C, X, Y, Z).")
