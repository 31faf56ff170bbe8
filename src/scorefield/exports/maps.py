"""What a run says about each pixel: mean, standard deviation and interval bounds, as images that know their place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from scorefield.data import Image, read_image
from scorefield.data.frame import Frame
from scorefield.data.image import ATTENUATION, HOUNSFIELD
from scorefield.errors import InputError, shorten
from scorefield.reconstruction.results import load_record
from scorefield.scans.scan import Scan
from scorefield.units import WATER


@dataclass(frozen=True, eq=False)
class Map:
    """One number for each pixel.

    Args:
        name: of its files.
        label: in words, for a person.
        image: its values; magnitudes where the run is complex.
    """

    name: str
    label: str
    image: Image

    def in_hounsfield(self) -> Map:
        """The map of CT in 1/mm as one in HU; that of a standard deviation has the scale of HU and no offset."""
        image = self.image.in_unit(HOUNSFIELD)
        if self.name == "std":
            image = Image.of(self.image.pixels * (1000 / WATER), image.frame)
        return replace(self, image=image)


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of a run, and the words about it that go into other files.

    Args:
        mean: posterior mean.
        others: standard deviation, lower and upper bound of the interval.
        complex_mean: the mean of the complex pixels; the same as ``mean`` where the run is real.
        modality: CT or MR.
        comment: sentences: what the images are, prior, seed and version.
        digest: of the run; two runs have different ones.
        time: when the run was written.
    """

    mean: Map
    others: tuple[Map, ...]
    complex_mean: Image
    modality: str
    comment: str
    digest: str
    time: datetime

    @classmethod
    def load(cls, folder: Path) -> Maps:
        """The maps of the run in ``folder``.

        Raises:
            InputError: the folder holds no run, or one of its files is not the one that was written.
        """
        folder = folder.expanduser()
        record = load_record(folder)
        scan = Scan.load(folder / "scan.scan")
        frame = replace(scan.frame, source="The run")  # the names of the user's files stay out of what is written
        low = 50 * (1 - float(record["level"]))
        labels = {"std": "standard deviation", "lower": f"{low:.3g} % bound", "upper": f"{100 - low:.3g} % bound"}
        mean, *others = (
            Map(name, label, _placed(folder / f"{name}.nii.gz", frame))
            for name, label in {"mean": "mean", **labels}.items()
        )
        run = folder / "run.json"
        return cls(
            mean, tuple(others), _placed(folder / "mean.npy", frame), mean.image.modality or "MR", _comment(record),
            hashlib.sha256(run.read_bytes()).hexdigest(), datetime.fromtimestamp(run.stat().st_mtime, UTC),
        )  # fmt: skip

    @property
    def all(self) -> tuple[Map, ...]:
        """The mean and the others."""
        return (self.mean, *self.others)

    def for_dicom(self) -> Maps:
        """The maps in units of DICOM, CT in HU.

        Raises:
            InputError: the image is no single plane or volume that lies in a patient, or CT in another unit.
        """
        image = self.mean.image
        if len(image.pixels) != 1 or image.affine is None:
            missing = "several channels" if image.affine is not None else "no place in the patient"
            raise InputError(f"The run's image has {missing}, which DICOM asks for; export it as NIfTI or cfl instead.")
        if self.modality not in ("MR", "CT"):
            raise InputError(f"DICOM is written for MR and CT, and the run is of {self.modality}; export it as NIfTI.")
        if self.modality == "MR" or image.unit == HOUNSFIELD:
            return self
        if image.unit != ATTENUATION:
            raise InputError(f"CT in DICOM is in HU, and the run's image is in {image.unit}; export it as NIfTI.")
        return replace(self, mean=self.mean.in_hounsfield(), others=tuple(m.in_hounsfield() for m in self.others))


def _placed(path: Path, frame: Frame) -> Image:
    """The image in a file of the run, in the scan's frame, which is more precise than NIfTI's."""
    return Image(read_image(path).pixels, frame=frame)


def _comment(record: dict) -> str:
    origin = record["provenance"]
    words = {"Prior": record.get("prior", "unknown"), "seed": origin.get("seed", "unknown")}
    versions = origin.get("versions", {})
    words["scorefield"] = versions.get("scorefield", "unknown") if isinstance(versions, dict) else "several versions"
    stated = "; ".join(f"{name} {shorten(value, 80)}" for name, value in words.items())
    interval = f"Interval bounds hold with probability {float(record['level']):g} under the prior."
    return f"Research, not for diagnosis. {stated}. {interval}"
