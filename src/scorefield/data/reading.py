"""Common parts of readers and writers: errors in one sentence, headers, pixels from arrays, and slices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from scorefield.data.image import Image
from scorefield.errors import InputError

Window = tuple[float, float]


@dataclass(frozen=True)
class Header:
    """The header of an image: its sizes, before any pixel is read.

    Args:
        spatial: size along each spatial axis.
        channels: number of channels.
        is_complex: whether the pixels are complex64, else float32.
    """

    spatial: tuple[int, ...]
    channels: int = 1
    is_complex: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        r"""(C, \*spatial)."""
        return (self.channels, *self.spatial)

    @property
    def nbytes(self) -> int:
        """Memory that the pixels take once read."""
        return prod(self.shape) * (8 if self.is_complex else 4)

    def without(self, axis: int) -> Header:
        """The header of a slice across spatial ``axis``."""
        return replace(self, spatial=self.spatial[:axis] + self.spatial[axis + 1 :])

    def squeeze(self) -> Header:
        """The header of the image that :meth:`Image.squeeze` makes."""
        thin = [axis for axis, size in enumerate(self.spatial) if size == 1]
        return self.without(thin[-1]) if len(self.spatial) == 3 and thin else self


class Slices(Protocol):
    """A volume on disk whose slices are read one at a time."""

    def slice(self, index: int, axis: int) -> Image:
        """The image that ``read(...).slice(index, axis)`` would be, axis 0 to 2; the volume is never in memory."""
        ...


@contextmanager
def reading(path: Path, fix: str) -> Iterator[None]:
    """Turn any error of a library on a bad file into an InputError that names the file and the remedy."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # parsers of damaged files raise anything, from KeyError to struct.error
        lines = str(error).strip().splitlines() or [""]
        reason = (lines[0].split(". ")[0].strip() or type(error).__name__).rstrip(".;:")[:160]
        raise InputError(f"Cannot read {path} ({reason}); {fix}.") from error


def to_pixels(array: np.ndarray, path: Path | str) -> Tensor:
    """Numbers as a float32 or complex64 tensor in native byte order; integers beyond 2^24 are rounded.

    Raises:
        InputError: the array holds something else than numbers.
    """
    if array.dtype.kind not in "biufc":
        raise InputError(f"{path} holds values of type {array.dtype}, not numbers; save a plain numeric array.")
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which Image refuses
        return torch.from_numpy(np.array(array, dtype=np.complex64 if array.dtype.kind == "c" else np.float32))


def no_window(window: Window | None, path: Path) -> None:
    """Raise InputError when a window is given for a format that stores the values themselves."""
    if window is not None:
        raise InputError(f"A {path.suffix} file stores the values themselves; leave the window out or write a .png.")
