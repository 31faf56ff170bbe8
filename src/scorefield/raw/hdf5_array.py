"""Plain arrays of numbers in HDF5, read in parts; complex numbers are pairs named (r, i) or (real, imag)."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from scorefield.data.room import DEFLATE, check_ratio
from scorefield.raw.hdf5 import opened

PAIRS = (("r", "i"), ("real", "imag"))


def is_array(dataset: Any) -> bool:
    """Whether an entry of a file is an array of numbers with axes."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or not dataset.shape:
        return False
    return dataset.dtype.kind in "biufc" or (dataset.dtype.names in PAIRS and dataset.dtype[0].kind in "iuf")


def is_complex(dataset: Any) -> bool:
    """Whether an array's numbers are complex."""
    return dataset.dtype.kind == "c" or dataset.dtype.names in PAIRS


def check_size(dataset: Any, path: Path) -> None:
    """Refuse an array that is larger than the file can hold, or whose numbers are in another file.

    Raises:
        InputError: larger.
        ValueError: elsewhere.
    """
    if dataset.is_virtual or dataset.external:
        raise ValueError("its numbers are in another file")
    packed = bool(dataset.id.get_create_plist().get_nfilters())
    check_ratio(path, prod(dataset.shape) * dataset.dtype.itemsize, path.stat().st_size, DEFLATE if packed else 1)


def load(path: Path, name: str, index: tuple[int | slice, ...]) -> np.ndarray:
    """The part of an array at an index.

    Raises:
        InputError: damaged.
    """
    with opened(path) as file:
        part = file[name][index]
    if part.dtype.names is None:
        return np.asarray(part)
    real, imaginary = (np.asarray(part[field], np.float32) for field in part.dtype.names)
    return real + 1j * imaginary
