"""BART's ``.cfl`` and ``.hdr`` with Cartesian k-space, zero frequency at ``n // 2`` as in ``bart fft -u``.

References:
    Uecker et al., "Berkeley Advanced Reconstruction Toolbox", ISMRM 2015.
"""

from __future__ import annotations

from pathlib import Path

from scorefield.data.formats import cfl_layout
from scorefield.data.reading import reading
from scorefield.raw.acquisition import Acquisition
from scorefield.raw.arrays import NAMES, NamedArray
from scorefield.raw.choice import Choice
from scorefield.raw.contents import Contents
from scorefield.raw.rooms import begins

name = "BART k-space"
suffixes = (".cfl", ".hdr")


def recognizes(path: Path) -> bool:
    """Whether a name ends in ``.cfl``, or a ``.hdr`` begins as BART's do."""
    if path.suffix.lower() != ".hdr":
        return path.suffix.lower() == ".cfl"
    return begins(path, b"# Dimensions")


def contents(path: Path, choice: Choice) -> Contents:
    """What the header says."""
    del choice
    return _array(path).contents()


def read(path: Path, choice: Choice) -> Acquisition:
    """K-space of the chosen image.

    Raises:
        InputError: damaged, refused, or without what was chosen.
    """
    with reading(path, cfl_layout.MEND):
        return _array(path).acquisition(choice)


def _array(path: Path) -> NamedArray:
    path = path.with_suffix(".cfl") if path.suffix.lower() == ".hdr" else path
    sizes = dict(zip(cfl_layout.AXES, cfl_layout.sizes(path), strict=True))
    axes = [axis for axis in cfl_layout.AXES if axis in NAMES]
    keep = tuple(slice(None) if axis in NAMES else 0 for axis in cfl_layout.AXES)
    array = cfl_layout.mapped(path)[keep]
    return NamedArray(path, name, array.shape, axes, array.__getitem__, refusal=_refusal(sizes))


def _refusal(sizes: dict[str, int]) -> str:
    if sizes["readout"] == 1 and min(sizes["line"], sizes["partition"]) > 1:
        return "it holds samples along a trajectory, and only Cartesian sampling is supported"
    if sizes["readout"] == 3 and sizes["coil"] == 1:
        return "it holds a trajectory and no k-space"
    several = [axis for axis, size in sizes.items() if size > 1 and axis not in NAMES]
    if several:
        return f"it has {sizes[several[0]]} entries along the axis '{several[0]}', which is not supported"
    return ""
