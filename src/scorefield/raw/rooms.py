"""Checks that raw files share: how they begin, and what they declare against their size and the memory."""

from __future__ import annotations

from math import prod
from pathlib import Path

from scorefield.data.room import check_ratio, check_room
from scorefield.errors import InputError

SPARSE = 64  # a grid may have so many times more entries than were measured: acceleration and zero filling
COPIES = 6  # of k-space in complex64, while it is prepared


def begins(path: Path, *heads: bytes) -> bool:
    """Whether a file begins with one of these bytes."""
    with open(path, "rb") as file:
        first = file.read(max(map(len, heads)))
    return first.startswith(heads)


def check_grid(path: Path, coils: int, grid: tuple[int, ...], held: int) -> None:
    """Refuse a grid that the ``held`` bytes of k-space cannot fill, or that the memory cannot hold.

    Raises:
        InputError: a size below 1, or too many.
    """
    if min((coils, *grid)) < 1:
        raise InputError(f"{path} states {coils} coils and a grid {grid}, which cannot be; it is damaged.")
    nbytes = 8 * coils * prod(grid)
    check_ratio(path, nbytes, held, SPARSE)
    check_room(path, COPIES * nbytes)
