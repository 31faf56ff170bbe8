"""BART's ``.cfl`` with the ``.hdr`` beside it: complex images, exact values, no geometry.

The spatial axes are BART's first three; several channels are its axis of coils.  A volume of one slice is a 2-D image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scorefield.data.formats import cfl_layout
from scorefield.data.image import Image
from scorefield.data.reading import Header, Window, no_window, reading, to_pixels
from scorefield.data.room import check_room
from scorefield.errors import InputError

suffixes = (".cfl",)


def matches(path: Path) -> bool:
    """Whether the name ends in ``.cfl``."""
    return path.name.lower().endswith(suffixes)


def read(path: Path) -> Image:
    """The complex image in ``path``.

    Raises:
        InputError: damaged, or with more axes than space and channels.
    """
    shape = header(path).shape
    check_room(path, 16 * int(np.prod(shape)))
    with reading(path, cfl_layout.MEND):
        array = cfl_layout.mapped(path).reshape(*shape[1:], shape[0], order="F")
        return Image(to_pixels(np.moveaxis(array, -1, 0), path).contiguous(), source=str(path)).squeeze()


def header(path: Path) -> Header:
    """Sizes, without reading the pixels.

    Raises:
        InputError: as :func:`read`.
    """
    sizes = cfl_layout.sizes(path)
    for name, size in list(zip(cfl_layout.AXES, sizes, strict=True))[4:]:
        if size > 1:
            raise InputError(
                f"{path} has {size} entries along the axis '{name}', and an image has three axes and channels; cut one"
                " out with 'bart slice'."
            )
    return Header(sizes[:3], sizes[3], is_complex=True)


def write(image: Image, path: Path, window: Window | None = None) -> None:
    """Write the values as complex64; geometry and unit have no place in the format."""
    no_window(window, path)
    array = np.moveaxis(image.pixels.numpy(force=True), 0, -1)
    cfl_layout.write(array if array.ndim == 4 else array[:, :, None], path)
