"""MATLAB's ``.mat``: an array of k-space, its axes named by the user in MATLAB's order.

Version 7.3 is HDF5 and is read in parts.  Versions 5 to 7 are read in parts where an array is not compressed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scorefield.data.reading import reading
from scorefield.errors import shorten
from scorefield.raw import hdf5_array
from scorefield.raw.acquisition import Acquisition
from scorefield.raw.arrays import Index, NamedArray
from scorefield.raw.choice import Choice
from scorefield.raw.contents import Contents
from scorefield.raw.hdf5 import opened
from scorefield.raw.matlab_v5 import Variable, variables
from scorefield.raw.rooms import begins

name = "MATLAB array"
suffixes = (".mat",)
OLD, NEW = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"
MEND = "it is damaged, cut short or of another version, so save it again in MATLAB with save(name, '-v7.3')"
LISTED = 8  # arrays that a sentence names


@dataclass(frozen=True, eq=False)
class _Array:
    """An array of a file: its sizes in MATLAB's order, and how parts of it are read."""

    shape: tuple[int, ...]
    is_complex: bool
    load: Callable[[Index], np.ndarray]


def recognizes(path: Path) -> bool:
    """Whether a file begins as those of MATLAB do."""
    return begins(path, OLD, NEW)


def contents(path: Path, choice: Choice) -> Contents:
    """The arrays and their sizes."""
    return _named(path, choice).contents()


def read(path: Path, choice: Choice) -> Acquisition:
    """K-space of the chosen image.

    Raises:
        InputError: damaged, without names of its axes, or without what was chosen.
    """
    with reading(path, MEND):
        return _named(path, choice).acquisition(choice)


def _named(path: Path, choice: Choice) -> NamedArray:
    with reading(path, MEND):
        arrays = _new(path) if begins(path, NEW) else _old(path)
        complex_ones = [one for one, array in arrays.items() if array.is_complex]
        chosen = choice.variable or (complex_ones[0] if len(complex_ones) == 1 else "")
        if chosen not in arrays:
            return NamedArray(path, name, (), (), lambda index: np.zeros(0), refusal=_ask(arrays, chosen))
        array = arrays[chosen]
        facts = {"variable": shorten(chosen, 40)}
        return NamedArray(path, name, array.shape, choice.axes, array.load, array.is_complex, facts=facts)


def _ask(arrays: dict[str, _Array], chosen: str) -> str:
    if not arrays:
        return "it holds no array of numbers"
    sizes = [f"{shorten(one, 30)} ({' x '.join(map(str, a.shape))})" for one, a in list(arrays.items())[:LISTED]]
    rest = ", ..." if len(arrays) > LISTED else ""
    missing = f"it has no array '{shorten(chosen, 40)}'" if chosen else "it does not say which of its arrays is k-space"
    return f"{missing}; add --variable NAME, of {', '.join(sizes)}{rest}"


def _old(path: Path) -> dict[str, _Array]:
    def array(variable: Variable) -> _Array:
        return _Array(variable.shape, variable.is_complex, lambda index: variable.load(path, index))

    return {variable.name: array(variable) for variable in variables(path)}


def _new(path: Path) -> dict[str, _Array]:
    """The arrays of a file of version 7.3, whose axes are in HDF5 from last to first."""

    def array(key: str, shape: tuple[int, ...], is_complex: bool) -> _Array:
        return _Array(shape[::-1], is_complex, lambda index: hdf5_array.load(path, key, index[::-1]).T)

    found = {}
    with opened(path) as file:
        for key in file:
            dataset = file.get(key)
            if hdf5_array.is_array(dataset):
                hdf5_array.check_size(dataset, path)
                found[key] = array(key, dataset.shape, hdf5_array.is_complex(dataset))
    return found
