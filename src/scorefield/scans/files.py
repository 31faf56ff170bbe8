"""Reading of images and raw scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scorefield import data
from scorefield.data import Image, Images, formats
from scorefield.data.sources import PathLike
from scorefield.scans import scan
from scorefield.scans.scan import Scan


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
    return formats.format_of(place, (*formats.FORMATS, scan)).read(place)
