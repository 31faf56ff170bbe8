"""Reading of images and raw scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scorefield import data
from scorefield.data import Image, Images, formats
from scorefield.data.sources import PathLike
from scorefield.errors import InputError
from scorefield.scans import scan
from scorefield.scans.scan import Scan

RAW = (".h5", ".hdf5", ".mrd", ".mat", ".dat")  # raw data of scanners, which lie above this module


def read(path: PathLike | Sequence[PathLike]) -> Image | Images | Scan:
    """Read a file, folder, glob or list.

    One image file or one DICOM series (a folder or glob of slices) is an :class:`Image`, several are
    :class:`Images`, a ``.scan`` is a :class:`Scan`.  A list is always Images.

    Raises:
        InputError: missing, unknown, damaged, or with NaN or infinite pixels.
    """
    if not isinstance(path, (str, Path)) or not Path(path).expanduser().is_file():
        return data.read(path)
    place = Path(path).expanduser()
    if place.suffix.lower() in RAW:
        raise InputError(
            f"{path} is a raw file; sf.raw.read(path) makes a scan of it, and sf.raw.inspect says what it is."
        )
    return formats.format_of(place, (*formats.FORMATS, scan)).read(place)
