"""HDF5 files: opened for reading, their errors in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scorefield.data.reading import reading

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MEND = "it is damaged, cut short or not what its name says, so copy or convert it again"
USER_BLOCKS = (0, 512, 1024, 2048)  # bytes before the signature; MATLAB writes 512 of them


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    with open(path, "rb") as file:
        first = file.read(USER_BLOCKS[-1] + len(SIGNATURE))
    return any(first[start : start + len(SIGNATURE)] == SIGNATURE for start in USER_BLOCKS)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An ``h5py.File``; an error in the block becomes one sentence.

    Raises:
        InputError: the file is damaged, or the block does not find what it needs.
    """
    import h5py

    with reading(path, MEND), h5py.File(path, "r") as file:
        yield file
