"""K-space as an array with a name for each axis: what BART, fastMRI, MATLAB and NumPy files hold.

Zeros are entries that were not measured.  Of an array on disk only the chosen image is read; of a volume, whose slices
lie across the readout, one coil after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import torch

from scorefield.errors import InputError, shorten
from scorefield.raw.acquisition import Acquisition
from scorefield.raw.choice import Choice, pick
from scorefield.raw.contents import Contents
from scorefield.raw.geometry import Geometry
from scorefield.raw.rooms import check_grid

NAMES = ("coil", "readout", "line", "partition", "slice", "echo", "repetition", "average")
SEVERAL = ("slice", "echo", "repetition", "average")
EXAMPLE = "coil,readout,line"
MIDDLE, PEAK = 3, 4.0  # samples around zero frequency, where k-space has so many times its mean energy
Index = tuple[int | slice, ...]


@dataclass(frozen=True, eq=False)
class NamedArray:
    """An array on disk.

    Args:
        path: the file.
        format: its name.
        shape: of the array.
        axes: a name of ``NAMES`` for each axis; empty where they have none.
        load: reads the part at an index.
        is_complex: whether its numbers are.
        width: samples of the readout that the image keeps; None is all.
        steps: mm between samples of the image along readout, lines and slices, or None.
        facts: further properties in words.
        refusal: why it cannot be reconstructed, as the end of a sentence.
    """

    path: Path
    format: str
    shape: tuple[int, ...]
    axes: Sequence[str]
    load: Callable[[Index], np.ndarray]
    is_complex: bool = True
    width: int | None = None
    steps: Sequence[float] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""

    def size(self, name: str) -> int:
        """The size of a named axis, 1 where there is none."""
        return self.shape[list(self.axes).index(name)] if name in self.axes else 1

    @property
    def is_volume(self) -> bool:
        """Whether k-space has partitions."""
        return self.size("partition") > 1

    def contents(self) -> Contents:
        """What the array holds."""
        grid = tuple(self.size(name) for name in ("readout", "line", "partition"))
        named = [f"{name} {size}" for name, size in zip(self.axes, self.shape, strict=False) if size > 1]
        array = ", ".join(named) or " x ".join(map(str, self.shape))
        slices = (self.width or grid[0]) if self.is_volume else self.size("slice")
        missing = "There is no noise scan, so the noise is estimated from k-space itself."
        placed = "There are no positions and directions, so the image has no place in the patient."
        return Contents(
            self.path,
            self.format,
            self.size("coil"),
            grid,
            slices,
            self.size("echo"),
            self.size("repetition"),
            self.size("average"),
            {"array": array, **self.facts},
            (missing, placed),
            self._refusal,
        )

    def acquisition(self, choice: Choice) -> Acquisition:
        """The k-space of the chosen image.

        Raises:
            InputError: refused, not there, not finite, or without a peak in the middle, as images are.
        """
        contents = self.contents()
        contents.check()
        index = {"slice": choice.slice_of(contents.slices)}
        for name, given in (("echo", choice.echo), ("repetition", choice.repetition)):
            index[name] = pick(name, given, self.size(name))
        coils, axes = self.size("coil"), ("line", "partition") if self.is_volume else ("readout", "line")
        grid = tuple(self.size(name) for name in axes)
        check_grid(self.path, coils, grid, 8 * prod(self.shape))
        parts = [self._one(index, number) for number in range(self.size("average"))]
        kspace, counts = _mean(parts)
        _check_peak(kspace, self.path)
        named = ", ".join(f"{name} {number}" for name, number in index.items())
        return Acquisition(
            torch.from_numpy(kspace),
            torch.from_numpy(counts),
            grid[0] if self.is_volume else min(self.width or grid[0], grid[0]),
            geometry=Geometry(self._steps),
            source=f"{self.path} [{named}]",
            remarks=contents.remarks,
        )

    @property
    def _steps(self) -> Sequence[float] | None:
        if self.steps is None or not self.is_volume:
            return self.steps
        return self.steps[1], self.steps[2], self.steps[0]

    @property
    def _refusal(self) -> str:
        if self.refusal:
            return self.refusal
        if not self.axes:
            return (
                f"its {len(self.shape)} axes {' x '.join(map(str, self.shape))} have no names; add --axes {EXAMPLE} in"
                f" their order, from {', '.join(NAMES)}"
            )
        unknown = [name for name in self.axes if name not in NAMES]
        if unknown:
            return f"'{shorten(unknown[0], 40)}' is no name of an axis, which are {', '.join(NAMES)}"
        if len(self.axes) != len(self.shape) or len(set(self.axes)) != len(self.axes):
            return f"{len(self.axes)} names were given for {len(self.shape)} axes, or one of them twice"
        if not self.is_complex:
            return "its numbers are real, and k-space is complex"
        if min(self.size("readout"), self.size("line")) < 2:
            return "its readout or its lines are a single sample, and k-space of an image needs several of both"
        return ""

    def _one(self, index: Mapping[str, int], average: int) -> np.ndarray:
        """(coil, *grid) of one average."""
        chosen = {**index, "average": average}
        if not self.is_volume:
            part = self._load(chosen, SEVERAL)
            return _ordered(part, [n for n in self.axes if n not in SEVERAL], ("coil", "readout", "line"))
        row, single, wanted = self._row(index["slice"]), (*SEVERAL, "coil"), ("readout", "line", "partition")
        names = [n for n in self.axes if n not in single]
        coils = (self._load({**chosen, "coil": coil, "slice": 0}, single) for coil in range(self.size("coil")))
        return np.stack([np.tensordot(row, _ordered(part, names, wanted), 1) for part in coils]).astype(np.complex64)

    def _load(self, chosen: Mapping[str, int], single: Sequence[str]) -> np.ndarray:
        index = tuple(chosen[name] if name in single else slice(None) for name in self.axes)
        with np.errstate(over="ignore"):  # what is too large for complex64 becomes infinite
            part = np.asarray(self.load(index), np.complex64)
        if not bool(np.isfinite(part).all()):
            raise InputError(f"{self.path} holds numbers that are NaN or infinite; repair them first.")
        return part

    def _row(self, column: int) -> np.ndarray:
        """The row of the centered orthonormal inverse transform of the readout that gives one column of the image."""
        n = self.size("readout")
        pixel = column - (self.width or n) // 2
        return np.exp(2j * np.pi * pixel * (np.arange(n) - n // 2) / n) / np.sqrt(n)


def _ordered(part: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """The array with the ``wanted`` axes in their order; other axes have size 1."""
    order = [names.index(name) for name in wanted if name in names]
    rest = [axis for axis in range(part.ndim) if axis not in order]
    turned = part.transpose(*order, *rest)
    return np.ascontiguousarray(turned.reshape([part.shape[names.index(n)] if n in names else 1 for n in wanted]))


def _mean(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The mean of what was measured, and how often each entry was."""
    counts = sum((part != 0).any(0).astype(np.float32) for part in parts)
    return (np.sum(parts, axis=0) / np.maximum(counts, 1)).astype(np.complex64), np.asarray(counts, np.float32)


def _check_peak(kspace: np.ndarray, path: Path) -> None:
    power = (np.abs(kspace.astype(np.complex128)) ** 2).sum(0)
    middle = power[tuple(slice(max(0, n // 2 - MIDDLE), n // 2 + MIDDLE + 1) for n in power.shape)].max()
    if power.any() and middle < PEAK * power[power > 0].mean():
        raise InputError(
            f"{path} has no peak in its middle, as k-space has; it is an image, or its zero frequency is elsewhere:"
            " apply fftshift to it."
        )
