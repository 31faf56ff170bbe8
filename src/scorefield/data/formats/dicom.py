r"""DICOM slices and series, read only.

Values are rescaled (slope, intercept or modality table), so CT is in HU.  The array axes are (rows, columns),
then slices in the order of their position along the normal.  With the row direction :math:`u` and the column
direction :math:`v` of ImageOrientationPatient, the first pixel :math:`p` and PixelSpacing :math:`(\Delta_r,
\Delta_c)`, pixel (i, j) lies at :math:`p + i \Delta_r v + j \Delta_c u` in DICOM's LPS coordinates; x and y
change sign for RAS+.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from scorefield.data.image import Image
from scorefield.data.reading import Window, reading, to_pixels
from scorefield.errors import InputError

if TYPE_CHECKING:
    import pydicom

suffixes = (".dcm", ".dicom", ".ima")
_FIX = "it is damaged, cut short, or compressed in a way that needs pylibjpeg, so copy or export it again"
_UNEVEN = 0.1  # allowed change of the slice step: scanners round positions, a missing slice changes it by 1


def matches(path: Path) -> bool:
    """Whether the name or the first bytes say DICOM; a DICOMDIR, the directory of a disc, does not count."""
    if path.name.upper() == "DICOMDIR":
        return False
    if path.name.lower().endswith(suffixes):
        return True
    if not path.is_file():
        return False
    with reading(path, "check that you may read it"), open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"  # DICOM part 10, section 7.1


def read(path: Path) -> Image:
    """One slice, (1, rows, columns).

    Raises:
        InputError: damaged, no pixels, color, or several frames.
    """
    return _read_slice(Path(path)).image


def shape(path: Path) -> tuple[int, ...]:
    """(rows, columns), from the header."""
    import pydicom

    with reading(path, _FIX):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return int(header.Rows), int(header.Columns)


def read_series(paths: Sequence[Path]) -> Image:
    """The slices of one series as a volume (1, rows, columns, slices), whatever the order of the files.

    Raises:
        InputError: several series, different geometry, a position held twice, or a missing slice.
    """
    slices = [_read_slice(Path(path)) for path in paths]
    if len(slices) == 1:
        return slices[0].image
    _check_alike(slices)
    normal = slices[0].affine[:3, 2]
    slices = sorted(slices, key=lambda s: float(s.affine[:3, 3] @ normal))
    step = _common_step(slices)
    affine = slices[0].affine.copy()
    affine[:3, 2] = step
    pixels = torch.stack([s.image.pixels for s in slices], dim=-1)
    source = f"{slices[0].path.parent} ({len(slices)} slices)"
    return Image(pixels, affine=affine, unit=slices[0].image.unit, source=source)


def write(image: Image, path: Path, window: Window | None = None) -> None:
    """Refuse: a DICOM object needs a patient and a study, which an image does not have."""
    del image, path, window
    raise InputError("DICOM is only read here; write .nii.gz, which keeps the geometry.")


@dataclass(frozen=True)
class _Slice:
    path: Path
    image: Image
    series: tuple[str, str]

    @property
    def affine(self) -> np.ndarray:
        if self.image.affine is None:
            raise InputError(
                f"{self.path} does not say where its slice lies: ImagePositionPatient, "
                "ImageOrientationPatient or PixelSpacing is missing; read it by itself."
            )
        return self.image.affine


def _read_slice(path: Path) -> _Slice:
    import pydicom
    from pydicom.pixels.processing import apply_modality_lut

    with reading(path, _FIX):
        dataset = pydicom.dcmread(path)
        _refuse(dataset, path)
        array = apply_modality_lut(dataset.pixel_array, dataset)
        spacing = dataset.get("PixelSpacing")
        spacing = None if not spacing else (float(spacing[0]), float(spacing[1]))
        affine = None if spacing is None else _affine(dataset, spacing, path)
        unit = _unit(dataset)
        series = (str(dataset.get("SeriesInstanceUID", "")), str(dataset.get("SeriesDescription", "unnamed")))
    pixels = to_pixels(array, path)[None]
    return _Slice(path, Image(pixels, spacing, affine=affine, unit=unit, source=str(path)), series)


def _refuse(dataset: pydicom.Dataset, path: Path) -> None:
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise InputError(f"{path} holds no pixels; it is cut short or no image, so leave it out or copy it again.")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise InputError(f"{path} holds {frames} frames in one file; convert it to NIfTI with dcm2niix first.")
    kind = str(dataset.get("PhotometricInterpretation", ""))
    if not kind.startswith("MONOCHROME"):
        raise InputError(f"{path} is a color picture ({kind or 'unknown kind'}); export it as PNG.")


def _affine(dataset: pydicom.Dataset, spacing: tuple[float, float], path: Path) -> np.ndarray | None:
    position, cosines = dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient")
    if not position or not cosines:
        return None
    row, column = np.array(cosines, dtype=np.float64).reshape(2, 3)
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-3):
        raise InputError(
            f"{path} has an ImageOrientationPatient that is not two perpendicular unit vectors; correct it."
        )
    thickness = float(dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness") or 1)
    affine = np.eye(4)
    affine[:3, 0] = column * spacing[0]
    affine[:3, 1] = row * spacing[1]
    affine[:3, 2] = np.cross(row, column) * abs(thickness)  # some scanners give a negative spacing
    affine[:3, 3] = np.array(position, dtype=np.float64)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # LPS to RAS


def _unit(dataset: pydicom.Dataset) -> str:
    """RescaleType where it says one; CT without it is HU by the standard (part 3, C.8.2.1.1.2)."""
    stated = str(dataset.get("RescaleType") or dataset.get("Units") or "")
    rescaled = "RescaleSlope" in dataset
    if str(dataset.get("Modality")) == "CT" and rescaled and stated in ("", "US"):
        return "HU"
    return "a.u." if stated in ("", "US") else stated


def _check_alike(slices: Sequence[_Slice]) -> None:
    counts = Counter(s.series for s in slices)
    if len(counts) > 1:
        found = ", ".join(f"'{name}' ({n} files)" for (_, name), n in counts.most_common(5))
        raise InputError(
            f"The {len(slices)} files in {slices[0].path.parent} belong to {len(counts)} series: {found};"
            " select one series with a glob."
        )
    first = slices[0]
    for other in slices[1:]:
        same = other.image.spatial == first.image.spatial and other.image.unit == first.image.unit
        if not same or not np.allclose(other.affine[:3, :2], first.affine[:3, :2], atol=1e-3):
            raise InputError(
                f"{other.path} differs from {first.path} in size, spacing, orientation or unit;"
                " select slices of one geometry."
            )


def _common_step(slices: Sequence[_Slice]) -> np.ndarray:
    """The mean step (3,) from slice to slice, in mm; sheared when the gantry is tilted."""
    positions = np.array([s.affine[:3, 3] for s in slices])
    steps = np.diff(positions, axis=0)
    typical = np.median(steps, axis=0)
    for before, after, step in zip(slices, slices[1:], steps, strict=False):
        if np.linalg.norm(step) < 1e-3:
            raise InputError(f"{before.path} and {after.path} lie at the same position; remove one of them.")
        if np.linalg.norm(step - typical) > _UNEVEN * np.linalg.norm(typical):
            raise InputError(
                f"From {before.path} to {after.path} the step is {np.linalg.norm(step):.3g} mm where"
                f" {np.linalg.norm(typical):.3g} mm is usual; add the missing slices or select an even stack."
            )
    return (positions[-1] - positions[0]) / (len(slices) - 1)
