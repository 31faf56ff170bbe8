"""NIfTI-1 and NIfTI-2, either byte order: ``.nii``, ``.nii.gz`` and pairs of ``.hdr`` and ``.img``, named by the first.

Stored slope and intercept are applied.  The affine is the sform, else the qform; lengths are converted to mm.
Several channels are the fifth dimension, as in NIfTI vectors.  A volume one slice thick is a 2-D image.  The
unit of the values has no field in NIfTI: scorefield keeps it in ``intent_name`` and signs ``descrip``, and
reads it back when signed.  A header that contradicts itself or the size of its file is refused
(:mod:`scorefield.data.formats.nifti_layout`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield.data.formats.nifti_layout import FIX, layout_of, unpack, verify
from scorefield.data.frame import UNKNOWN, Frame
from scorefield.data.image import Image
from scorefield.data.reading import Header, Window, no_window, reading, to_pixels
from scorefield.data.room import check_room
from scorefield.errors import InputError

if TYPE_CHECKING:
    import nibabel as nib
    from torch import Tensor

suffixes = (".nii", ".nii.gz", ".hdr")
_SIGNATURE = "scorefield"
_MM = {
    "meter": 1e3,
    "mm": 1.0,
    "micron": 1e-3,
    "unknown": 1.0,
}  # unknown is mm in practice


def matches(path: Path) -> bool:
    """Whether the name ends in ``.nii``, ``.nii.gz`` or ``.hdr``; an ``.img`` goes with its header."""
    return path.name.lower().endswith(suffixes)


def read(path: Path, *, volume: int | None = None) -> Image:
    """The image in ``path``, its axes as stored.

    Args:
        path: the file.
        volume: which volume of a time series, counted from 0; needed when there are several.

    Raises:
        InputError: damaged, several volumes and none chosen, not numbers, NaN or infinite values.
    """
    path = Path(path)
    with reading(path, FIX):
        file = _load(path)
        sizes = _five(file.shape, path)
        number = _choose(sizes[3], volume, path)
        array = np.asanyarray(file.dataobj).reshape(sizes)[:, :, :, number]
        frame = _frame(file, path)
    return Image(to_pixels(np.moveaxis(array, -1, 0), path), frame=frame).squeeze()


def header(path: Path) -> Header:
    """Sizes, without reading the pixels.

    Raises:
        InputError: damaged, or several volumes.
    """
    with reading(path, FIX):
        layout_of(path)
        file = _open(path)
        sizes = _five(file.shape, path)
        _choose(sizes[3], None, path)
        return Header(sizes[:3], sizes[4], file.get_data_dtype().kind == "c")


class Mapped:
    """A volume of a ``.nii`` or a pair mapped into memory: a slice costs the pages of the file that it touches."""

    def __init__(self, path: Path):
        self.path = path
        with reading(path, FIX):
            layout_of(path)
            file = _open(path)
            self._proxy, self._frame = file.dataobj, _frame(file, path)
            self._array = self._proxy.get_unscaled()

    def slice(self, index: int, axis: int) -> Image:
        """Slice ``index`` across ``axis`` of the volume."""
        from nibabel.volumeutils import apply_read_scaling

        with reading(self.path, FIX):
            cut = _cut(self._proxy, [index if a == axis else slice(None) for a in range(3)])
            array = apply_read_scaling(self._array[cut], self._proxy.slope, self._proxy.inter)
        return Image(_planar(array, self.path), frame=self._frame.slice(index, axis))


class Streamed:
    """A volume of a ``.nii.gz`` decompressed plane by plane, a plane being (i, j) at one k, as the file has them.

    A plane costs the decompression of all before it, from the last one read where that lies before it, else from the
    beginning.  A slice across axis 2 is one plane, so slices in ascending order cost one pass in all, but each of
    slices in random order half a pass on average; across axis 0 or 1 it is one line of every plane, a pass for each.
    A pass takes about six seconds for a GB of pixels: to read slices in random order decompress the file first.  One
    more pass at the start verifies the checksum, once for a file.
    """

    def __init__(self, path: Path):
        self.path = path
        with reading(path, FIX):
            verify(path, layout_of(path))
            file = _open(path, keep_file_open=True)
            self._proxy, self._frame = file.dataobj, _frame(file, path)

    def slice(self, index: int, axis: int) -> Image:
        """Slice ``index`` across ``axis`` of the volume."""
        with reading(self.path, FIX):
            if axis == 2:
                array = self._plane(index)
            else:
                array = np.stack([self._plane(k).take(index, axis) for k in range(self._proxy.shape[2])], 1)
        return Image(_planar(array, self.path), frame=self._frame.slice(index, axis))

    def _plane(self, k: int) -> np.ndarray:
        return np.asarray(self._proxy[_cut(self._proxy, [slice(None), slice(None), k])])


def slices(path: Path) -> Mapped | Streamed:
    """The volume of the file, to read slices of.

    Raises:
        InputError: damaged.
    """
    return Streamed(path) if path.suffix.lower() == ".gz" else Mapped(path)


def write(image: Image, path: Path, window: Window | None = None) -> None:
    """Write float32 or complex64 values with affine, spacing, unit and origin.

    Raises:
        InputError: a window is given, or the unit has more than 15 bytes, the room of ``intent_name``.
    """
    import nibabel as nib

    no_window(window, path)
    if len(image.unit.encode()) > 15:
        raise InputError(f"The unit '{image.unit}' does not fit the 15 bytes that NIfTI has for it; shorten it.")
    array = np.moveaxis(image.pixels.numpy(force=True), 0, -1)
    array = array.reshape(*image.spatial, *[1] * (4 - len(image.spatial)), array.shape[-1])
    array = array[..., 0, 0] if array.shape[-1] == 1 else array
    one, two = (nib.Nifti1Pair, nib.Nifti2Pair) if path.suffix.lower() == ".hdr" else (nib.Nifti1Image, nib.Nifti2Image)
    file = (one if max(array.shape) < 2**15 else two)(array, image.affine)  # NIfTI-1 counts in int16
    header: Any = file.header
    if image.affine is not None:
        file.set_sform(image.affine, code=1)  # 1: scanner coordinates
        _mirror_in_qform(file, image.affine)
    elif image.spacing is not None:
        header["pixdim"][1 : 1 + len(image.spacing)] = image.spacing
    if image.spacing is not None:
        header.set_xyzt_units("mm")
    if array.ndim == 5:
        header.set_intent("vector")
    header["intent_name"] = image.unit.encode()
    header["descrip"] = f"{_SIGNATURE}; {Path(image.source).name}".encode("ascii", "replace")[:79]
    nib.save(file, path)


def _mirror_in_qform(file: nib.Nifti1Pair, affine: np.ndarray) -> None:
    """Repeat a rotation in the qform, which holds nothing else: some programs read no sform."""
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    orthogonal = np.allclose(cosines.T @ cosines, np.eye(3), atol=1e-6)
    file.set_qform(affine if orthogonal else None, code=1 if orthogonal else 0)


def _cut(proxy: Any, spatial: list[Any]) -> tuple[Any, ...]:
    """The index of ``spatial`` in the first volume of the file, all its channels."""
    return (*spatial, 0, slice(None))[: proxy.ndim]


def _planar(array: np.ndarray, path: Path) -> Tensor:
    """A slice (H, W) or (H, W, C) as pixels (C, H, W)."""
    return to_pixels(np.moveaxis(array.reshape(*array.shape[:2], -1), -1, 0), path).contiguous()


def _frame(file: Any, path: Path) -> Frame:
    """Geometry and unit that the header states."""
    header = file.header
    scale = _MM[header.get_xyzt_units()[0]]
    affine = spacing = None
    if header["sform_code"] > 0 or header["qform_code"] > 0:
        affine = np.diag([scale] * 3 + [1.0]) @ file.affine
    elif header.get_xyzt_units()[0] != "unknown" or not (header["pixdim"][1:4] == 1).all():
        spacing = tuple(float(s) * scale for s in header["pixdim"][1:4])
    signed = bytes(header["descrip"]).startswith(_SIGNATURE.encode())
    return Frame(spacing, affine, header["intent_name"].item().decode() if signed else UNKNOWN, str(path))


def _open(path: Path, **options: Any) -> Any:
    """The image in a file or a pair, its pixels not yet read.

    Raises:
        InputError: a pair in the older Analyze format, which says nothing of where the image lies.
    """
    import nibabel as nib

    file: Any = nib.load(path, **options)
    if not isinstance(file, nib.Nifti1Pair):
        raise InputError(f"{path} is no NIfTI header but {type(file).__name__}; convert it to NIfTI.")
    return file


def _load(path: Path) -> nib.Nifti1Pair:
    """Parse the whole file at once, which verifies gzip's checksum."""
    import nibabel as nib

    layout = layout_of(path)
    if path.suffix.lower() != ".gz":
        check_room(path, layout.memory)
        return _open(path)
    raw = unpack(path, layout)
    kind = nib.Nifti1Image if nib.Nifti1Header.may_contain_header(raw) else nib.Nifti2Image
    return kind.from_bytes(raw)


def _five(sizes: tuple[int, ...], path: Path) -> tuple[int, ...]:
    """(X, Y, Z, volumes, channels)."""
    if len(sizes) > 5:
        raise InputError(f"{path} has {len(sizes)} dimensions; split it into volumes first.")
    return (*sizes, *[1] * (5 - len(sizes)))


def _choose(volumes: int, volume: int | None, path: Path) -> int:
    if volume is None and volumes > 1:
        raise InputError(
            f"{path} holds {volumes} volumes; save one of them in a file of its own, or in Python choose it with"
            " scorefield.data.formats.nifti.read(path, volume=0)."
        )
    if not 0 <= (volume or 0) < volumes:
        raise InputError(f"{path} has volumes 0 to {volumes - 1}, so none is number {volume}.")
    return volume or 0
