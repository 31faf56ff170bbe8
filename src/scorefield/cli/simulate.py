"""``scorefield simulate``."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from scorefield.cli.options import Options, make_command
from scorefield.cli.say import say
from scorefield.errors import InputError

if TYPE_CHECKING:
    from scorefield.data import Image
    from scorefield.scans.protocols import Protocol


class Modality(StrEnum):
    """Which scanner."""

    ct = "ct"
    fan = "fan"
    mri = "mri"
    denoising = "denoising"
    superresolution = "superresolution"


KINDS = (
    "ct: sparse-view parallel beam; fan: the same with a fan beam; mri: undersampled multi-coil; denoising: the image"
    " with noise; superresolution: means of blocks of pixels."
)
WORDS = {
    Modality.ct: "CT", Modality.fan: "fan-beam CT", Modality.mri: "MRI", Modality.denoising: "noisy images",
    Modality.superresolution: "coarse images",
}  # fmt: skip
RAYS = {"views", "photons", "counts"}
OWN = {
    Modality.ct: RAYS,
    Modality.fan: RAYS,
    Modality.mri: {"acceleration", "coils", "noise", "center"},
    Modality.denoising: {"noise"},
    Modality.superresolution: {"noise", "factor"},
}  # the options of each


class ProtocolOptions(Options):
    """The options of every command that simulates scans; those of another scanner are refused."""

    views: int = Field(30, ge=1, le=100_000, description="CT: number of views over half a turn (fan: a turn).")
    photons: float = Field(2e4, gt=0, le=1e12, description="CT: photons per ray, which set the noise.")
    counts: bool = Field(False, description="CT: keep the photon counts, in place of their logarithm.")
    acceleration: float = Field(4.0, ge=1, le=1e4, description="MRI: how many times fewer lines.")
    coils: int = Field(8, ge=1, le=1024, description="MRI: receive coils.")
    noise: float | None = Field(
        None,
        gt=0,
        le=1e3,
        description="MRI and images: noise per real component over the image's intensity; default 0.01, denoising 0.1.",
    )
    center: float = Field(0.08, ge=0, le=1, description="MRI: fully sampled part of k-space.")
    factor: int = Field(2, ge=2, le=1024, description="Superresolution: pixels along the side of a coarse one.")

    def protocol(self, modality: Modality) -> Protocol:
        """The protocol of a scanner.

        Raises:
            InputError: an option of another scanner was given.
        """
        from scorefield.scans import protocols

        for name in sorted(set().union(*OWN.values()) & self.model_fields_set - OWN[modality]):
            others = ", ".join(kind for kind, own in OWN.items() if name in own)
            raise InputError(f"The option '{name}' is for {others}, and this scan is '{modality}'; leave it out.")
        noise = self.noise or {Modality.denoising: 0.1}.get(modality, 0.01)
        makers = {
            Modality.ct: lambda: protocols.ParallelCT(self.views, self.photons),
            Modality.fan: lambda: protocols.FanCT(self.views, self.photons),
            Modality.mri: lambda: protocols.CartesianMRI(self.acceleration, self.coils, noise, self.center),
            Modality.denoising: lambda: protocols.Denoising(noise),
            Modality.superresolution: lambda: protocols.SuperResolution(noise, self.factor),
        }
        protocol = makers[modality]()
        return protocols.Counting(protocol) if self.counts else protocol


class SimulateOptions(ProtocolOptions):
    image: Path = Field(
        description="Image to measure: DICOM, NIfTI, npy, cfl, PNG or TIFF.", json_schema_extra={"argument": True}
    )
    modality: Modality | None = Field(None, description=f"{KINDS} Default what the file says.")
    out: Path = Field(Path("scan.scan"), description="The scan to write.")
    axis: int | None = Field(None, ge=0, le=2, description="Axis along which a volume is cut; default the last.")
    slice: int | None = Field(None, description="Slice of a volume; default the middle one.")
    unit: str | None = Field(None, description="Unit of values in files that do not say: HU, or 1/mm (default).")
    seed: int = Field(0, ge=0, lt=2**63, description="Fixes mask and noise.")
    overwrite: bool = Field(False, description="Replace the scan OUT, and the truth beside it.")


def run(options: SimulateOptions) -> None:
    """Simulate a noisy scan of a real image; the clean image is written beside it as NAME.truth.npy."""
    from scorefield.data import read_image, write
    from scorefield.noise.words import in_words
    from scorefield.scans.layout import check_name
    from scorefield.scans.protocols import measure
    from scorefield.store.atomic import atomic_files

    check_name(options.out)
    _check_free(options)
    image = read_image(options.image).with_unit(options.unit)
    protocol = options.protocol(options.modality or _modality(image))
    image = protocol.prepare(_plane(image, options.axis, options.slice))
    scan = measure(image, protocol, seed=options.seed)
    place = Path(os.path.realpath(options.out.expanduser()))
    truth = _truth_of(options.out)
    with atomic_files(place.parent) as folder:  # both or neither
        scan.save(folder / place.name)
        write(image.pixels, folder / _truth_of(place).name)
    say(f"Wrote {options.out} (noise {in_words(scan.noise)} per real component) and the truth {truth}.")


def _truth_of(scan: Path) -> Path:
    """The file of the clean image beside a scan."""
    return scan.with_suffix(".truth.npy")


def _check_free(options: SimulateOptions) -> None:
    """Refuse to replace a scan or its truth unless that is asked for."""
    for path in (options.out, _truth_of(options.out)):
        if path.expanduser().exists() and not options.overwrite:
            raise InputError(f"{path} exists; add --overwrite to replace it, or choose another --out.")


def _modality(image: Image) -> Modality:
    """What the file says, else MRI; the choice is printed."""
    modality = {"CT": Modality.ct}.get(image.modality, Modality.mri)
    reason = f"it is {image.modality}" if image.modality else "its file names no modality"
    say(f"Simulating {modality.value} of {image.source}, for {reason}; --modality says otherwise.")
    return modality


def _plane(image: Image, axis: int | None, index: int | None) -> Image:
    """The slice of a volume that was asked for, by default the middle one across the last axis; it is printed."""
    from scorefield.data.plausible import check_cut

    if len(image.spatial) == 2:
        if axis is not None or index is not None:
            raise InputError(f"{image.source} is a 2-D image and has no slices; leave out --axis and --slice.")
        return image
    if axis is None:
        check_cut(image.spatial, 2, image.source)
    axis = 2 if axis is None else axis
    index = image.spatial[axis] // 2 if index is None else index
    plane = image.slice(index, axis)
    say(f"Took slice {index} of {image.spatial[axis]} across axis {axis} of a volume {image.spatial}.")
    return plane


command = make_command(SimulateOptions, run)
