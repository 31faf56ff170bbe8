"""NumPy's ``.npy`` with k-space; the axes are named by the user."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scorefield.data.reading import reading
from scorefield.data.room import check_ratio
from scorefield.raw.acquisition import Acquisition
from scorefield.raw.arrays import NamedArray
from scorefield.raw.choice import Choice
from scorefield.raw.contents import Contents
from scorefield.raw.rooms import begins

name = "NumPy array"
suffixes = (".npy",)
MAGIC = b"\x93NUMPY"
MEND = "it is damaged, cut short or a pickle, so save a plain complex array with numpy.save again"


def recognizes(path: Path) -> bool:
    """Whether a file begins as ``.npy`` does."""
    return begins(path, MAGIC)


def contents(path: Path, choice: Choice) -> Contents:
    """Shape and axes."""
    return _array(path, choice).contents()


def read(path: Path, choice: Choice) -> Acquisition:
    """K-space of the chosen image.

    Raises:
        InputError: damaged, without names of its axes, or without what was chosen.
    """
    with reading(path, MEND):
        return _array(path, choice).acquisition(choice)


def _array(path: Path, choice: Choice) -> NamedArray:
    with reading(path, MEND):
        array = np.lib.format.open_memmap(path, mode="r")
        check_ratio(path, array.offset + array.nbytes, path.stat().st_size)
        if array.dtype.kind not in "biufc":
            raise ValueError(f"it holds values of type {array.dtype}")
        return NamedArray(
            path, name, array.shape, choice.axes, array.__getitem__, array.dtype.kind == "c", facts=_facts(array)
        )


def _facts(array: np.ndarray) -> dict[str, str]:
    return {"type": str(array.dtype)}
