"""Sources of the true images of a calibration, and a protocol that measures them.

A *truth* is a tensor (C, *spatial), or an :class:`~scorefield.data.Image` where the physics needs its pixel size.  The
law of the truths decides what is tested.  Draws of the prior test the sampler alone; real images test sampler and
prior together, as a user's scans do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.final import FinalDraw
from scorefield.measurement import Measurement
from scorefield.prior import ClosedForm, Prior
from scorefield.randomness import stream
from scorefield.runs.provenance import without_folders
from scorefield.sampling import sample
from scorefield.scans.protocols import Protocol, simulate
from scorefield.schedules import Karras, Schedule
from scorefield.units import intensity_of

Truth = Any  # a Tensor or an Image
EMPTY = 10.0  # a draw below this many times the smallest noise level holds no image


class Truths(ABC):
    """A source of true images."""

    @property
    def different(self) -> int | None:
        """Number of different images, which are used again for more scans; None where each scan has its own."""
        return None

    @abstractmethod
    def draw(self, number: int, seed: int) -> Truth:
        """The truth of scan ``number``; the same for the same number and seed.

        Args:
            number: of the scan, 0, 1, 2, ...
            seed: of the calibration.
        """


@dataclass(frozen=True)
class FromDensity(Truths):
    """Exact draws of a closed-form prior.

    Args:
        prior: a prior with ``rsample``.

    Raises:
        InputError: the prior cannot be sampled exactly.
    """

    prior: ClosedForm = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.prior, ClosedForm):
            raise InputError(
                f"{type(self.prior).__name__} cannot be sampled exactly; calibrate on given images,"
                " Experiment(simulate, FromImages(images)), or on walks of the prior, FromWalk(prior, shape)."
            )

    def draw(self, number: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(stream(seed, "truth", number))
        return self.prior.rsample(1, generator)[0]


@dataclass(frozen=True)
class FromWalk(Truths):
    """Unconditional draws of a prior by the steps of a kernel; their law is approximate.

    Args:
        prior: any prior.
        shape: of one image (C, *spatial).
        schedule: levels in the prior's units.
        kernel: a kernel of the reverse SDE, whose last step is a draw, so that truths do not lack what the last level
            leaves open.
        steps: number of levels.
        intensity: each draw is scaled to this intensity (:mod:`scorefield.units`), because a prior that is
            learned up to a factor (:class:`~scorefield.priors.Homogeneous`) has draws of any intensity; None leaves
            the draws as they are.

    Raises:
        InputError: when drawing, an image whose intensity is below ten times the smallest noise level.
    """

    prior: Prior = field(repr=False)
    shape: tuple[int, ...]
    schedule: Schedule = field(default=Karras(0.005, 3.0))
    kernel: Kernel[Any] = field(default=FinalDraw(Ancestral()))
    steps: int = 100
    intensity: float | None = None

    def draw(self, number: int, seed: int) -> Tensor:
        levels, own = self.schedule.grid(self.steps), stream(seed, "truth", number)
        image = sample(self.prior, self.kernel, levels, n=1, seed=own, like=torch.empty(self.shape)).draws[0]
        intensity = intensity_of(image)
        if intensity < EMPTY * float(levels[-2]):
            raise InputError(
                f"A draw of the prior is nearly empty (intensity {intensity:.2g}, smallest noise level"
                f" {levels[-2]:.2g}), because the prior has no scale of its own; calibrate on given images (--images)."
            )
        return image if self.intensity is None else image * (self.intensity / intensity)


@dataclass(frozen=True)
class FromImages(Truths):
    """Given images, in a random order that the seed fixes; they are used again when there are more scans than images.

    Args:
        images: tensors (C, *spatial) or Images; each is read when it is drawn.

    Raises:
        InputError: no images.
    """

    images: Sequence[Truth]

    def __post_init__(self) -> None:
        if not len(self.images):
            raise InputError("There are no images to calibrate on; give at least one.")

    def __repr__(self) -> str:
        source = [getattr(self.images, name, None) for name in ("paths", "axis", "unit")]
        source[0] = without_folders(source[0])
        return f"FromImages({len(self.images)} of {source})"

    @property
    def different(self) -> int:
        return len(self.images)

    def draw(self, number: int, seed: int) -> Truth:
        passes, place = divmod(number, len(self.images))
        generator = torch.Generator().manual_seed(stream(seed, "order", passes))
        return self.images[int(torch.randperm(len(self.images), generator=generator)[place])]


@dataclass(frozen=True)
class Cropped(Truths):
    """The central ``size`` x ``size`` pixels of the images of another source; smaller ones stay as they are.

    Args:
        source: of Images.
        size: side in pixels.
    """

    source: Truths
    size: int

    @property
    def different(self) -> int | None:
        return self.source.different

    def draw(self, number: int, seed: int) -> Truth:
        image = self.source.draw(number, seed)
        middle = (slice(max(0, (n - self.size) // 2), max(0, (n - self.size) // 2) + self.size) for n in image.spatial)
        return replace(image, pixels=image.pixels[(slice(None), *middle)].contiguous(), affine=None)


@dataclass(frozen=True)
class Prepared(Truths):
    """The images of another source in the units that a protocol measures: CT in HU becomes attenuation in 1/mm.

    Args:
        source: of Images.
        protocol: how they are scanned.
    """

    source: Truths
    protocol: Protocol

    @property
    def different(self) -> int | None:
        return self.source.different

    def draw(self, number: int, seed: int) -> Truth:
        return self.protocol.prepare(self.source.draw(number, seed))


@dataclass(frozen=True)
class Scanner:
    """A protocol as the ``simulate`` of an experiment: it maps a truth and a seed to a measurement.

    Args:
        protocol: the scan protocol.
        spacing: pixel size in mm of truths that are tensors; Images have their own.
    """

    protocol: Protocol
    spacing: float = 1.0

    def __call__(self, truth: Truth, seed: int) -> Measurement:
        from scorefield.data.image import Image

        image = truth if hasattr(truth, "pixels") else Image(truth.float(), (self.spacing,) * (truth.ndim - 1))
        return simulate(image, self.protocol, seed=seed).measurement()


def pixels_of(truth: Truth) -> Tensor:
    """The tensor (C, *spatial) of a truth."""
    return getattr(truth, "pixels", truth)
