"""BART's pair of files: ``NAME.hdr`` states the sizes in text, ``NAME.cfl`` holds complex64, the first axis fastest.

References:
    Uecker et al., "Berkeley Advanced Reconstruction Toolbox", ISMRM 2015; https://mrirecon.github.io/bart.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from scorefield.data.room import check_ratio
from scorefield.errors import InputError, shorten

AXES: tuple[str, ...] = (
        "readout", "line", "partition", "coil", "map", "echo", "coefficient", "second coefficient", "iteration",
        "shift", "repetition", "second time", "level", "slice", "average", "batch",
)  # fmt: skip
LONGEST = 1 << 16  # bytes of a .hdr
MEND = "copy both files again, or write them again with BART"


def header_of(path: Path) -> Path:
    """The ``.hdr`` beside a ``.cfl``."""
    return path.with_suffix(".hdr")


def sizes(path: Path) -> tuple[int, ...]:
    """The 16 sizes that the header beside a ``.cfl`` states.

    Raises:
        InputError: no header, no sizes in it, or another number of bytes in the ``.cfl``.
    """
    header = header_of(path)
    if not header.is_file() or not path.is_file():
        raise InputError(f"{path} and {header.name} belong together, and one of them is missing; {MEND}.")
    with open(header, "rb") as file:
        lines = file.read(LONGEST).decode("ascii", "replace").splitlines()
    if lines[:1] != ["# Dimensions"] or len(lines) < 2:
        raise InputError(f"{header} does not begin with '# Dimensions'; {MEND}.")
    words = lines[1].split()
    if not 1 <= len(words) <= len(AXES) or not all(word.isdecimal() and len(word) < 16 for word in words):
        raise InputError(f"{header} states sizes '{shorten(lines[1], 80)}' that are not up to 16 numbers; {MEND}.")
    found = tuple(max(1, int(word)) for word in words)
    wanted, held = 8 * prod(found), path.stat().st_size
    check_ratio(path, wanted, held)
    if held > wanted:
        raise InputError(f"{path} holds {held} bytes where {wanted} are stated; {MEND}.")
    return found + (1,) * (len(AXES) - len(found))


def mapped(path: Path) -> np.ndarray:
    """The array of 16 axes on disk.

    Raises:
        InputError: as :func:`sizes`.
    """
    return np.memmap(path, np.dtype("<c8"), "r", shape=sizes(path), order="F")


def write(array: np.ndarray, path: Path) -> None:
    """Write an array, its axes in the order of ``AXES``, as ``path`` and the ``.hdr`` beside it."""
    full = (*array.shape, *[1] * (len(AXES) - array.ndim))
    header_of(path).write_text(f"# Dimensions\n{' '.join(map(str, full))} \n# Creator\nscorefield\n")
    path.write_bytes(np.asarray(array, np.dtype("<c8")).tobytes(order="F"))
