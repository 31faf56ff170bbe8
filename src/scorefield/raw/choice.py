"""What a user takes from a raw file: one slice, one echo, one repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scorefield.errors import InputError


@dataclass(frozen=True)
class Choice:
    """One image of a raw file; all numbers count from 0.

    Args:
        slice: the slice; None is the middle one.
        echo: the echo, or contrast.
        repetition: the repetition; averages are always combined.
        axes: the names of the axes of an array that does not name them, such as ("coil", "readout", "line").
        variable: the name of the array in a file of several.

    Raises:
        InputError: a number below 0.
    """

    slice: int | None = None
    echo: int = 0
    repetition: int = 0
    axes: Sequence[str] = ()
    variable: str = ""

    def __post_init__(self) -> None:
        for name in ("slice", "echo", "repetition"):
            pick(name, getattr(self, name) or 0, 2**31)

    def slice_of(self, count: int) -> int:
        """The slice among ``count``.

        Raises:
            InputError: there are fewer.
        """
        return pick("slice", count // 2 if self.slice is None else self.slice, count)


def pick(name: str, index: int, count: int) -> int:
    """``index``, if there are so many.

    Raises:
        InputError: an index outside of 0 to ``count`` - 1.
    """
    if not 0 <= index < count:
        raise InputError(f"There is no {name} {index}: the scan has {count}, which count from 0; choose another.")
    return index
