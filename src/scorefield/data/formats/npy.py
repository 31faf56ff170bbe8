"""NumPy's ``.npy``: exact values, no geometry, never a pickle.

Arrays of two or three axes are one channel, (H, W) or (X, Y, Z); arrays of four are (C, X, Y, Z).  A volume
one slice thick is a 2-D image, so (1, H, W) is a slice, and several channels of a 2-D image are stored as (C,
H, W, 1).  The file ends where its header says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scorefield.data.frame import Frame
from scorefield.data.image import Image
from scorefield.data.reading import Header, Window, no_window, reading, to_pixels
from scorefield.data.room import check_ratio, check_room
from scorefield.errors import InputError

suffixes = (".npy",)
_FIX = "it is damaged, cut short or a pickle, so save a plain numeric array with numpy.save again"


def matches(path: Path) -> bool:
    """Whether the name ends in ``.npy``."""
    return path.name.lower().endswith(suffixes)


def read(path: Path) -> Image:
    """The image in ``path``.

    Raises:
        InputError: damaged, pickled or not numbers, not 2 to 4 axes, NaN or infinite values, more or fewer bytes than
            the header asks for.
    """
    array = _map(path)
    check_room(path, 2 * Header(array.shape[1:], len(array), array.dtype.kind == "c").nbytes)
    with reading(path, _FIX):
        return Image(to_pixels(array, path), source=str(path)).squeeze()


def header(path: Path) -> Header:
    """Sizes, without reading the pixels.

    Raises:
        InputError: damaged, pickled, or not 2 to 4 axes.
    """
    array = _map(path)
    return Header(array.shape[1:], len(array), array.dtype.kind == "c")


class Mapped:
    """A volume mapped into memory: a slice costs the pages of the file that it touches."""

    def __init__(self, path: Path):
        self.path, self._array = path, _map(path)

    def slice(self, index: int, axis: int) -> Image:
        """Slice ``index`` across ``axis`` of the volume."""
        with reading(self.path, _FIX):
            pixels = to_pixels(self._array[(slice(None),) * (axis + 1) + (index,)], self.path)
        return Image(pixels.contiguous(), frame=Frame(source=str(self.path)).slice(index, axis))


slices = Mapped


def write(image: Image, path: Path, window: Window | None = None) -> None:
    """Write the values exactly; geometry and unit have no place in the format."""
    no_window(window, path)
    array = image.pixels.numpy(force=True)
    two_channels = array.ndim == 3 and len(array) > 1
    array = array[0] if len(array) == 1 else array[..., None] if two_channels else array
    with open(path, "wb") as file:  # given a name, numpy would add its own suffix to .NPY
        np.save(file, array, allow_pickle=False)


def _map(path: Path) -> np.ndarray:
    """The array (C, ...) on disk."""
    with reading(path, _FIX):
        array = np.lib.format.open_memmap(path, mode="r")
        end, size = array.offset + array.nbytes, path.stat().st_size
        check_ratio(path, end, size)
        if end != size:
            raise InputError(f"{path} holds {size - end} bytes more than its header asks for; {_FIX}.")
        return _with_channels(array, path)


def _with_channels(array: np.ndarray, path: Path) -> np.ndarray:
    if array.ndim not in (2, 3, 4):
        raise InputError(f"{path} has shape {array.shape}; save (H, W), (X, Y, Z) or (C, X, Y, Z).")
    return array if array.ndim == 4 else array[None]
