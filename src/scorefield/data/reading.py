"""What all readers and writers share: errors in one sentence, and arrays turned into pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield.errors import InputError

Window = tuple[float, float]


@contextmanager
def reading(path: Path, fix: str) -> Iterator[None]:
    """Turn whatever a library raises on a bad file into an InputError that names the file and the fix."""
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
