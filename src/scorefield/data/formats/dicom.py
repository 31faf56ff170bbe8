r"""DICOM slices and series, read only.

Values are rescaled (slope and intercept, or modality table; :mod:`scorefield.data.formats.dicom_dataset`), so CT is in
HU.  The array axes are (rows, columns),
then slices in the order of their position along the normal.  With the row direction :math:`u` and the column
direction :math:`v` of ImageOrientationPatient, the first pixel :math:`p` and PixelSpacing :math:`(\Delta_r,
\Delta_c)`, pixel (i, j) lies at :math:`p + i \Delta_r v + j \Delta_c u` in DICOM's LPS coordinates; x and y
change sign for RAS+.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from scorefield.data.formats.dicom_dataset import begins_like, find, load, modality, refuse, unit, values
from scorefield.data.frame import Frame
from scorefield.data.image import Image
from scorefield.data.reading import Header, Window, reading, to_pixels
from scorefield.data.room import check_room
from scorefield.errors import InputError

if TYPE_CHECKING:
    import pydicom

suffixes = (".dcm", ".dicom", ".ima")
_FIX = "it is damaged or cut short, so copy or export it again"
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
        return begins_like(file.read(132))


def read(path: Path) -> Image:
    """One slice, (1, rows, columns).

    Raises:
        InputError: damaged, no pixels, color, or several frames.
    """
    return _read_slice(Path(path))[0]


def header(path: Path) -> Header:
    """Rows and columns, without reading the pixels."""
    return Header(_read_header(path).spatial)


def read_series(paths: Sequence[Path]) -> Image:
    """The slices of one series as a volume (1, rows, columns, slices), whatever the order of the files.

    Raises:
        InputError: several series, different geometry, a position held twice, or a missing slice.
    """
    if len(paths) == 1:
        return read(paths[0])
    images, slices = zip(*(_read_slice(Path(path)) for path in paths), strict=True)
    layout = _Layout(slices)
    check_room(paths[0].parent, sum(image.pixels.nbytes for image in images))
    return Image.of(torch.stack([images[k].pixels for k in layout.order], dim=-1), layout.frame)


class Files:
    """The volume of a series, a file at a time.

    A slice across axis 2 is one file; across axis 0 or 1 it is a line of every file, so all are read, one after the
    other.  The headers of all files are read at the start.
    """

    def __init__(self, paths: Sequence[Path]):
        slices = [_read_header(path) for path in paths]
        layout = _Layout(slices)
        self._frame, self._paths = layout.frame, [slices[k].path for k in layout.order]

    def slice(self, index: int, axis: int) -> Image:
        """Slice ``index`` across ``axis`` of the volume."""
        if axis == 2:
            pixels = _read_slice(self._paths[index])[0].pixels
        else:
            pixels = torch.stack([_read_slice(path)[0].pixels.select(axis + 1, index) for path in self._paths], -1)
        return Image.of(pixels, self._frame.slice(index, axis))


slices = Files


def write(image: Image, path: Path, window: Window | None = None) -> None:
    """Refuse: a DICOM object needs a patient and a study, which an image does not have."""
    del image, path, window
    raise InputError("DICOM is only read here; write .nii.gz, which keeps the geometry.")


@dataclass(frozen=True)
class _Slice:
    """A slice, as its file describes it."""

    path: Path
    spatial: tuple[int, int]
    frame: Frame
    series: tuple[str, str]

    @property
    def affine(self) -> np.ndarray:
        """The affine of the frame.

        Raises:
            InputError: the file has none.
        """
        if self.frame.affine is None:
            raise InputError(
                f"{self.path} does not say where its slice lies: ImagePositionPatient, "
                "ImageOrientationPatient or PixelSpacing is missing; read it by itself."
            )
        return self.frame.affine


class _Layout:
    """How the files of a series make a volume: their ``order``, and its ``frame``.

    Raises:
        InputError: several series, different geometry, a position held twice, or a missing slice.
    """

    def __init__(self, slices: Sequence[_Slice]):
        _check_alike(slices)
        normal = slices[0].affine[:3, 2]
        heights = [float(s.affine[:3, 3] @ normal) for s in slices]
        self.order = sorted(range(len(slices)), key=heights.__getitem__)
        ordered = [slices[k] for k in self.order]
        affine = ordered[0].affine.copy()
        affine[:3, 2] = _common_step(ordered)
        source = f"{slices[0].path.parent} ({len(slices)} slices)"
        self.frame = replace(slices[0].frame, spacing=None, affine=affine, source=source).for_axes(3)


def _read_header(path: Path) -> _Slice:
    with reading(path, _FIX):
        return _description(load(path, pixels=False), path)


def _read_slice(path: Path) -> tuple[Image, _Slice]:
    """The image (1, rows, columns), and what its file says of it."""
    with reading(path, _FIX):
        dataset = load(path)
        refuse(dataset, path)
        array, here = values(dataset, path), _description(dataset, path)
    return Image(to_pixels(array, path)[None], frame=here.frame), here


def _description(dataset: pydicom.Dataset, path: Path) -> _Slice:
    spacing = find(dataset, "PixelSpacing")
    spacing = None if not spacing else (float(spacing[0]), float(spacing[1]))
    affine = None if spacing is None else _affine(dataset, spacing, path)
    return _Slice(
        path,
        (int(dataset.Rows), int(dataset.Columns)),
        Frame(spacing, affine, unit(dataset), str(path), modality(dataset)),
        (str(dataset.get("SeriesInstanceUID", "")), str(dataset.get("SeriesDescription", "unnamed"))),
    )


def _affine(dataset: pydicom.Dataset, spacing: tuple[float, float], path: Path) -> np.ndarray | None:
    position, cosines = find(dataset, "ImagePositionPatient"), find(dataset, "ImageOrientationPatient")
    if not position or not cosines:
        return None
    row, column = np.array(cosines, dtype=np.float64).reshape(2, 3)
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-3):
        raise InputError(
            f"{path} has an ImageOrientationPatient that is not two perpendicular unit vectors; correct it."
        )
    thickness = float(find(dataset, "SpacingBetweenSlices") or find(dataset, "SliceThickness") or 1)
    affine = np.eye(4)
    affine[:3, 0] = column * spacing[0]
    affine[:3, 1] = row * spacing[1]
    affine[:3, 2] = np.cross(row, column) * abs(thickness)  # some scanners give a negative spacing
    affine[:3, 3] = np.array(position, dtype=np.float64)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # LPS to RAS


def _check_alike(slices: Sequence[_Slice]) -> None:
    counts = Counter(s.series for s in slices)
    if len(counts) > 1:
        names = ", ".join(f"'{name}' ({n} files)" for (_, name), n in counts.most_common(5))
        raise InputError(
            f"The {len(slices)} files in {slices[0].path.parent} belong to {len(counts)} series: {names};"
            " select one series with a glob."
        )
    first = slices[0]
    for other in slices[1:]:
        same = other.spatial == first.spatial and other.frame.unit == first.frame.unit
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
