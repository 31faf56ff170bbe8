"""Seeded damage of files: what disks, downloads and careless converters do to bytes.

A mutation is a function ``(raw, rng) -> bytes``.  ``mutate`` chooses one of them by number, so that a number names a
damaged file: ``mutate(raw, number)`` is the same bytes wherever it runs.  A run has ``budget(...)`` mutations: a share
of 300, or of ``SCOREFIELD_FUZZ`` where the environment names another total.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]

TOTAL = 300  # mutations of the default run, over all files of one suite
HEAD = 400  # bytes in which most formats keep their header
NUMBERS = (0, 1, -1, 2**7, 2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
FLOATS = (0.0, -0.0, 1e-300, 1e300, 1e38, float("nan"), float("inf"), float("-inf"))


def budget(share: float = 1.0) -> int:
    """The mutations of a part that has ``share`` of the run, at least one."""
    return max(1, round(share * int(os.environ.get("SCOREFIELD_FUZZ", TOTAL))))


def flip_bits(raw: bytes, rng: np.random.Generator) -> bytes:
    """One to four bits somewhere."""
    damaged = bytearray(raw)
    for place in rng.integers(0, len(raw), int(rng.integers(1, 5))):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def flip_head(raw: bytes, rng: np.random.Generator) -> bytes:
    """One bit among the first bytes, where the header is."""
    damaged = bytearray(raw)
    damaged[int(rng.integers(min(HEAD, len(raw))))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def set_byte(raw: bytes, rng: np.random.Generator) -> bytes:
    """One byte of the header takes any value."""
    damaged = bytearray(raw)
    damaged[int(rng.integers(min(HEAD, len(raw))))] = int(rng.integers(256))
    return bytes(damaged)


def set_field(raw: bytes, rng: np.random.Generator) -> bytes:
    """An integer or a float of 2, 4 or 8 bytes in the header takes an extreme value, in either byte order."""
    order = "<>"[int(rng.integers(2))]
    if rng.random() < 0.5:
        width = int(rng.choice([2, 4, 8]))
        number = NUMBERS[int(rng.integers(len(NUMBERS)))] % 2 ** (8 * width)
        field = number.to_bytes(width, "little" if order == "<" else "big")
    else:
        with np.errstate(over="ignore", under="ignore"):
            field = np.array(FLOATS[int(rng.integers(len(FLOATS)))]).astype(f"{order}f{rng.choice([4, 8])}").tobytes()
    place = 2 * int(rng.integers(1 + max(0, min(HEAD, len(raw)) - len(field)) // 2))  # fields are aligned
    return raw[:place] + field + raw[place + len(field) :]


def truncate(raw: bytes, rng: np.random.Generator) -> bytes:
    """The end is missing: a few bytes of it, or any part."""
    few = rng.random() < 0.5
    return raw[: len(raw) - int(rng.integers(1, min(16, len(raw)) + 1 if few else len(raw) + 1))]


def append(raw: bytes, rng: np.random.Generator) -> bytes:
    """Surplus bytes at the end: zeros, noise, or the beginning of the file once more."""
    count = int(rng.integers(1, 65))
    return raw + (bytes(count), rng.bytes(count), raw[:count])[int(rng.integers(3))]


def delete_chunk(raw: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes in the middle are missing."""
    first, last = _chunk(raw, rng)
    return raw[:first] + raw[last:]


def repeat_chunk(raw: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes in the middle come twice."""
    first, last = _chunk(raw, rng)
    return raw[:last] + raw[first:]


def swap_chunks(raw: bytes, rng: np.random.Generator) -> bytes:
    """Two neighboring pieces change places."""
    first, last = _chunk(raw, rng)
    middle = (first + last + 1) // 2
    return raw[:first] + raw[middle:last] + raw[first:middle] + raw[last:]


def blank_chunk(raw: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes are zero, as after a download that left a hole."""
    first, last = _chunk(raw, rng)
    return raw[:first] + bytes(last - first) + raw[last:]


def no_change(raw: bytes, rng: np.random.Generator) -> bytes:
    """The sound file: a reader that refuses everything fails."""
    del rng
    return raw


BYTES: tuple[Mutation, ...] = (
    flip_bits,
    flip_head,
    set_byte,
    set_field,
    truncate,
    append,
    delete_chunk,
    repeat_chunk,
    swap_chunks,
    blank_chunk,
)


def mutate(raw: bytes, number: int, mutations: Sequence[Mutation] = BYTES) -> tuple[str, bytes]:
    """Mutation ``number`` of a file: what was done, and the damaged bytes; number 0 leaves the file as it is.

    Args:
        raw: the sound file, not empty.
        number: the seed; the mutations take turns.
        mutations: those that are tried; more can be added to ``BYTES`` for a format with fields of its own.
    """
    if number == 0:
        return "no_change", raw
    chosen = mutations[number % len(mutations)]
    return chosen.__name__, chosen(raw, np.random.default_rng([number, len(raw)]))


def _chunk(raw: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """First byte and end of a piece: short as a field, or up to an eighth of the file."""
    first = int(rng.integers(len(raw)))
    longest = 16 if rng.random() < 0.5 else max(1, len(raw) // 8)
    return first, min(len(raw), first + 1 + int(rng.integers(longest)))
