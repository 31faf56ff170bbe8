"""Simulated scans of real images: a protocol states geometry, sampling and noise, and ``simulate`` measures.

The noise is drawn once, at the level of the protocol, and its law is part of the scan.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scorefield.arguments import of_kind
from scorefield.data.image import HOUNSFIELD, Image
from scorefield.data.plausible import check_hounsfield, check_image_domain
from scorefield.errors import InputError
from scorefield.noise import Noise, PoissonTransmission, White
from scorefield.operators import birdcage, cartesian_mask
from scorefield.scans.cartesian import Cartesian
from scorefield.scans.fan_beam import FanBeam
from scorefield.scans.low_resolution import LowResolution
from scorefield.scans.noisy_image import NoisyImage
from scorefield.scans.parallel_beam import ParallelBeam
from scorefield.scans.scan import Scan
from scorefield.units import WATER, intensity_of

SHADOW = 1.2  # of the image at 1.5 times its size, on bins 1.5 times as wide: 15 degrees from the middle
OPAQUE = 20.0  # line integral that one photon in a billion passes


class Protocol(ABC):
    """How a scan is taken: geometry, sampling and noise."""

    @abstractmethod
    def plan(self, image: Image, generator: torch.Generator) -> Scan:
        """The scan of the ``image`` before it is taken: its data are zeros, its noise is white of level 1."""

    @abstractmethod
    def noise_of(self, image: Image, clean: Tensor) -> Noise:
        """The law of the data, given the image and its noiseless data (without a batch)."""

    def prepare(self, image: Image) -> Image:
        """The image as the physics sees it."""
        return image


@dataclass(frozen=True)
class ParallelCT(Protocol):
    """Sparse-view parallel-beam CT.

    Args:
        views: angles, evenly over half a turn.
        photons: per ray before the object; the noise of a line integral is 1 / sqrt(counts behind the object),
            taken at the mean of all rays.
    """

    views: int = 30
    photons: float = 2e4

    def __post_init__(self) -> None:
        if self.views < 1 or not self.photons > 0:
            raise InputError("A CT protocol needs views >= 1 and photons > 0.")

    def prepare(self, image: Image) -> Image:
        if image.pixels.is_complex():
            raise InputError(f"CT is of real images and {image.source} is complex; take its magnitude first.")
        return image.attenuation()

    def plan(self, image: Image, generator: torch.Generator) -> Scan:
        spacing = image.spacing or (1.0, 1.0)
        if not math.isclose(spacing[0], spacing[1], rel_tol=1e-3):
            raise InputError(f"CT needs square pixels, {image.source} has {spacing} mm; resample it first.")
        detectors = math.ceil(math.hypot(*image.spatial)) + 2
        angles = torch.arange(self.views, dtype=torch.float64) * math.pi / self.views
        blank, (rows, columns) = torch.zeros(1, self.views, detectors), image.spatial
        return ParallelBeam(
            blank, angles, size=(rows, columns), noise=White(1.0), frame=image.frame, detector_spacing=spacing[0]
        )

    def noise_of(self, image: Image, clean: Tensor) -> White:
        mean = float(clean.mean())
        if not -1 < mean < OPAQUE:
            raise InputError(
                f"{image.source} has line integrals of {mean:.3g} on average, which is no attenuation. CT images are in"
                f" 1/mm (water {WATER}) or in HU; if this one is in HU and does not tell, say so: --unit HU, or"
                " Image(..., unit='HU')."
            )
        return White(math.exp(mean / 2) / math.sqrt(self.photons))


@dataclass(frozen=True)
class CartesianMRI(Protocol):
    """Undersampled multi-coil Cartesian MRI of a real (phase-corrected) image.

    Args:
        acceleration: lines of the full scan over lines measured.
        coils: receive coils of a birdcage array.
        noise: standard deviation per real component of k-space over the intensity of the image.
        center: fully sampled part of k-space.
    """

    acceleration: float = 4.0
    coils: int = 8
    noise: float = 0.01
    center: float = 0.08

    def __post_init__(self) -> None:
        if not self.noise > 0:
            raise InputError(f"An MRI protocol needs noise > 0, got {self.noise:g}.")

    def prepare(self, image: Image) -> Image:
        if image.unit == HOUNSFIELD:
            raise InputError(f"{image.source} is CT in HU, of which there is no MRI; simulate CT, or take an MR image.")
        check_hounsfield(image)
        check_image_domain(image)
        return image

    def plan(self, image: Image, generator: torch.Generator) -> Scan:
        shape = (1, *image.spatial)
        mask = cartesian_mask(shape, self.acceleration, center_fraction=self.center, generator=generator)
        blank = torch.zeros(self.coils, int(mask.sum()), dtype=torch.complex64)
        real = not image.pixels.is_complex()
        return Cartesian(blank, mask, birdcage(self.coils, shape), noise=White(1.0), frame=image.frame, real=real)

    def noise_of(self, image: Image, clean: Tensor) -> White:
        if not image.pixels.count_nonzero():
            raise InputError(f"{image.source} is zero everywhere, so it has no intensity; choose another slice.")
        return White(self.noise * intensity_of(image.pixels))


@dataclass(frozen=True)
class FanCT(ParallelCT):
    """CT with rays from a point to a flat detector, over a full turn; noise as :class:`ParallelCT`.

    The source is at two image diagonals from the axis, the detector at one, as wide as the image's shadow.

    Args:
        views: angles, evenly over a full turn.
        photons: per ray before the object.
    """

    def plan(self, image: Image, generator: torch.Generator) -> Scan:
        flat = super().plan(image, generator)
        assert isinstance(flat, ParallelBeam)
        diagonal = math.hypot(*image.spatial) * flat.detector_spacing
        return FanBeam(
            torch.zeros(1, self.views, math.ceil(SHADOW * flat.detectors)), 2 * flat.angles, size=flat.size,
            noise=flat.noise, frame=flat.frame, detector_spacing=1.5 * flat.detector_spacing,
            source_distance=2 * diagonal, detector_distance=diagonal,
        )  # fmt: skip


@dataclass(frozen=True)
class Counting(Protocol):
    """CT that keeps photon counts in place of line integrals, with the Poisson law of transmission.

    Args:
        protocol: where the rays run, and the photons per ray.
    """

    protocol: ParallelCT

    def prepare(self, image: Image) -> Image:
        return self.protocol.prepare(image)

    def plan(self, image: Image, generator: torch.Generator) -> Scan:
        return self.protocol.plan(image, generator)

    def noise_of(self, image: Image, clean: Tensor) -> Noise:
        self.protocol.noise_of(image, clean)  # refuses what is no attenuation
        return PoissonTransmission(self.protocol.photons)


@dataclass(frozen=True)
class Denoising(Protocol):
    """An image with white noise.

    Args:
        noise: standard deviation per real component over the intensity of the image.
    """

    noise: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.noise < math.inf:
            raise InputError(f"A protocol of images needs a finite noise > 0, got {self.noise:g}.")

    def prepare(self, image: Image) -> Image:
        check_hounsfield(image)
        return image.attenuation()

    def plan(self, image: Image, generator: torch.Generator) -> Scan:
        return NoisyImage(torch.zeros_like(image.pixels), noise=White(1.0), frame=image.frame)

    def noise_of(self, image: Image, clean: Tensor) -> White:
        if not bool(image.pixels.any()):
            raise InputError(f"{image.source} is zero everywhere, so it has no intensity; give another image.")
        return White(self.noise * intensity_of(image.pixels))


@dataclass(frozen=True)
class SuperResolution(Denoising):
    """An image of coarse pixels, means of ``factor`` x ``factor`` pixels, with white noise.

    Args:
        noise: standard deviation per real component over the intensity of the image.
        factor: pixels along the side of a coarse one; rows and columns that are left over are cut off.
    """

    noise: float = 0.01
    factor: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor < 2:
            raise InputError(f"Super-resolution needs a factor >= 2, got {self.factor}.")

    def prepare(self, image: Image) -> Image:
        rows, columns = ((n // self.factor) * self.factor for n in image.spatial[:2])
        if not rows or not columns:
            raise InputError(f"{image.source} has no block of {self.factor} x {self.factor} pixels; lower the factor.")
        whole = super().prepare(image)
        return Image(whole.pixels[:, :rows, :columns], frame=whole.frame)

    def plan(self, image: Image, generator: torch.Generator) -> Scan:
        blank = torch.zeros_like(image.pixels[:, :: self.factor, :: self.factor])
        return LowResolution(blank, self.factor, noise=White(1.0), frame=image.frame)


def simulate(image: Image, protocol: Protocol, *, seed: int = 0) -> Scan:
    """Measure a 2-D ``image`` as ``protocol`` says, with noise.

    Returns:
        The scan, in the units the physics works in (CT: 1/mm).

    Raises:
        InputError: an image that is not 2-D with one channel, or does not suit the protocol.
    """
    of_kind(image, Image, "an image", "give sf.Image(pixels), or sf.read_image(path)")
    of_kind(protocol, Protocol, "a protocol", "give one of scorefield.scans.protocols, such as sf.ParallelCT()")
    return measure(protocol.prepare(image), protocol, seed=seed)


def measure(image: Image, protocol: Protocol, *, seed: int = 0) -> Scan:
    """As :func:`simulate`, for an image that ``protocol.prepare`` has made.

    Raises:
        InputError: as there.
    """
    if len(image.spatial) != 2 or len(image.pixels) != 1:
        raise InputError(f"{image.source} has shape {tuple(image.pixels.shape)}; simulate one 2-D image (1, H, W).")
    generator = torch.Generator().manual_seed(seed)
    plan = protocol.plan(image, generator)
    clean = plan.operator()(image.pixels[None])
    noise = protocol.noise_of(image, clean[0])
    return replace(plan, data=noise.corrupt(clean, generator)[0], noise=noise)
