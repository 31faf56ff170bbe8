"""The tasks: how an image is measured, and in which units the result is compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.data import Image
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.randomness import normal_like, stream
from scorefield.scans.protocols import CartesianMRI, ParallelCT, simulate
from scorefield.units import WATER


class Given(NamedTuple):
    """A scan, the truth in the scan's units, and the unit of images in those of the scan."""

    measurement: Measurement
    truth: Tensor
    unit: float = 1.0

    @property
    def noise(self) -> float:
        """The standard deviation of the noise of the data."""
        noise = self.measurement.noise
        assert isinstance(noise, White)
        return noise.std

    def with_strength(self, strength: float) -> Measurement:
        """The scan with the noise level that a method gets: ``strength`` times the true one."""
        return Measurement(self.measurement.y, self.measurement.operator, White(self.noise * strength))


class Task(ABC):
    """A way to measure an image (1, H, W)."""

    name: str

    @abstractmethod
    def given(self, image: Tensor, seed: int) -> Given:
        """The scan of an image with the noise of ``seed``."""


@dataclass(frozen=True)
class Denoise(Task):
    """The image itself with white noise.

    Args:
        sigma: its standard deviation.
    """

    sigma: float

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"noise-{self.sigma:g}"

    def given(self, image: Tensor, seed: int) -> Given:
        generator = torch.Generator().manual_seed(stream(seed, self.name))
        y = image[None] + self.sigma * normal_like(image[None], generator)
        return Given(Measurement(y, Identity(tuple(image.shape)), White(self.sigma)), image)


@dataclass(frozen=True)
class Mri(Task):
    """A quarter of k-space, 8 coils, 8 % center, noise of a hundredth of the intensity."""

    name: str = "mri"

    def given(self, image: Tensor, seed: int) -> Given:
        scan = simulate(Image(image, (2.0, 2.0)), CartesianMRI(), seed=stream(seed, self.name))
        return Given(scan.measurement(), image)


@dataclass(frozen=True)
class Ct(Task):
    """23 parallel views, 1e5 photons a ray."""

    name: str = "ct"

    def given(self, image: Tensor, seed: int) -> Given:
        protocol = ParallelCT(views=23, photons=1e5)
        scan = simulate(Image(WATER * image, (1.5, 1.5), unit="1/mm"), protocol, seed=stream(seed, self.name))
        return Given(scan.measurement(), WATER * image, WATER)


TASKS: dict[str, Task] = {task.name: task for task in (*(Denoise(s) for s in (0.025, 0.05, 0.1, 0.4)), Mri(), Ct())}
