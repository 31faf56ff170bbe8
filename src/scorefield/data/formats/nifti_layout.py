"""Where the numbers of a NIfTI file lie, by its header as it is stored.

nibabel mends a contradictory header in silence (bits of a number, a fractional offset, a slope that is no number) and
stops before surplus bytes and before gzip's checksum.  Here such files are refused: what does not agree with itself was
damaged, and which part is right is unknown.
"""

from __future__ import annotations

import functools
import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from scorefield.data.room import DEFLATE, PIECE, check_ratio, check_room
from scorefield.errors import InputError

LONGEST = 540  # bytes of the NIfTI-2 header, the longer of the two
FIX = "it is damaged, cut short or not NIfTI, so copy or convert it again"


@dataclass(frozen=True)
class Layout:
    """The sizes that a header states, checked to agree with each other.

    Args:
        path: the header's file.
        shape: of the array.
        dtype: of the stored numbers.
        offset: of the first number, in bytes.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int

    @property
    def end(self) -> int:
        """The byte behind the last number."""
        return self.offset + prod(self.shape) * self.dtype.itemsize

    @property
    def memory(self) -> int:
        """Bytes that the numbers take while they are scaled and made pixels."""
        return prod(self.shape) * (self.dtype.itemsize + (24 if self.dtype.kind == "c" else 12))


def layout_of(path: Path) -> Layout:
    """The layout of ``.nii``, ``.nii.gz``, or of a ``.hdr`` with its ``.img``.

    Raises:
        InputError: a header that contradicts itself, or a file of another size than it states.
        OSError, ValueError: no such file, or no gzip.
    """
    import nibabel as nib

    packed, pair = path.suffix.lower() == ".gz", path.suffix.lower() == ".hdr"
    with _open(path) as file:
        layout = _layout(path, file.read(LONGEST), pair)
    if packed:
        check_ratio(path, layout.end, path.stat().st_size, DEFLATE)
        return layout
    pixels = Path(str(nib.Nifti1Pair.filespec_to_file_map(path)["image"].filename)) if pair else path
    size = pixels.stat().st_size
    check_ratio(path, layout.end, size)
    if size != layout.end:
        raise InputError(f"{pixels} holds {size - layout.end} bytes more than its header asks for; {FIX}.")
    return layout


def unpack(path: Path, layout: Layout) -> bytes:
    """The whole of a ``.nii.gz``, its checksum verified.

    Raises:
        InputError: more memory than is free, or more bytes than the header states.
        OSError, EOFError, zlib.error: damaged or cut short.
    """
    check_room(path, layout.end + layout.memory)
    with _open(path) as file:
        raw = file.read(layout.end)
        _check_end(path, len(raw) + len(file.read(1)), layout)
    return raw


def verify(path: Path, layout: Layout) -> None:
    """Read a ``.nii.gz`` through once for its checksum and its length; a file that was read before is not read again.

    Raises:
        InputError: more or fewer bytes than the header states.
        OSError, EOFError, zlib.error: damaged or cut short.
    """
    status = path.stat()
    _verify(path, layout, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _verify(path: Path, layout: Layout, size: int, time: int) -> None:
    del size, time  # they say whether the file is the one that was read
    with _open(path) as file:
        count = 0
        for piece in _pieces(file):
            count += len(piece)
            if count > layout.end:
                break
        _check_end(path, count, layout)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _check_end(path: Path, count: int, layout: Layout) -> None:
    if count != layout.end:
        word = "more" if count > layout.end else "fewer"
        raise InputError(f"{path} holds {word} bytes than its header asks for; {FIX}.")


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix.lower() == ".gz" else open(path, "rb")


def _layout(path: Path, block: bytes, pair: bool) -> Layout:
    import nibabel as nib

    kinds: tuple[Any, ...] = (nib.Nifti1Pair, nib.Nifti2Pair) if pair else (nib.Nifti1Image, nib.Nifti2Image)
    for kind in kinds:
        known = kind.header_class
        if known.may_contain_header(block):
            header = known(block[: known.sizeof_hdr], check=False)
            return Layout(path, _shape(path, header), _dtype(path, header), _offset(path, header))
    raise InputError(f"{path} does not begin with a NIfTI header; convert it to NIfTI again.")


def _shape(path: Path, header: Any) -> tuple[int, ...]:
    sizes = [int(size) for size in header["dim"]]
    if not 1 <= sizes[0] <= 7 or min(sizes[1 : sizes[0] + 1]) < 1:
        raise InputError(f"{path} has a header with the sizes {sizes}, which are of no image; {FIX}.")
    return tuple(sizes[1 : sizes[0] + 1])


def _dtype(path: Path, header: Any) -> np.dtype:
    dtype, bits = header.get_data_dtype(), int(header["bitpix"])
    if bits != 8 * dtype.itemsize:
        raise InputError(f"{path} states numbers of type {dtype} and of {bits} bits, which cannot both be; {FIX}.")
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    # by the standard a slope of 0 means that nothing is scaled
    if not (math.isfinite(slope) and math.isfinite(inter)) or (slope == 0 and inter != 0):
        raise InputError(f"{path} has the slope {slope:g} and the intercept {inter:g}, which scale nothing; {FIX}.")
    return dtype


def _offset(path: Path, header: Any) -> int:
    offset, single = float(header["vox_offset"]), header["magic"].item() == header.single_magic
    least = header.single_vox_offset if single else 0
    if offset == 0:
        return least
    if not (offset.is_integer() and least <= offset < 2**53):
        raise InputError(f"{path} has its numbers at byte {offset:g}, where none can be; {FIX}.")
    return int(offset)
