"""MATLAB's files of version 5 to 7: the arrays in them, their headers first, their numbers in parts.

A file is a header of 128 bytes and a row of elements, each a tag (type and number of bytes) and its content.  An array
is an element of elements: flags, sizes, name, real part, imaginary part; it may be compressed as a whole.

References:
    The MathWorks, "MAT-file format", Level 5.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from scorefield.data.room import DEFLATE, check_ratio, check_room

HEADER, MATRIX, COMPRESSED = 128, 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = range(6, 16)  # of numbers: double, single, and integers of 8 to 64 bits
COMPLEX, LOGICAL = 0x0800, 0x0200
BEGINNING = 1 << 12  # bytes of an array in which flags, sizes and name are
MOST = 10_000  # arrays of a file


@dataclass(frozen=True)
class Variable:
    """An array of a file.

    Args:
        name: its name.
        shape: its sizes.
        is_complex: whether it has an imaginary part.
        place: where its content begins in the file.
        size: bytes of the content.
        parts: where its real part begins in the content, decompressed.
        is_compressed: whether the content is.
        order: byte order, "<" or ">".
    """

    name: str
    shape: tuple[int, ...]
    is_complex: bool
    place: int
    size: int
    parts: int
    is_compressed: bool
    order: str

    def load(self, path: Path, index: tuple[int | slice, ...]) -> np.ndarray:
        """The part of the array at an index; of an array that is not compressed only this part is read.

        Raises:
            InputError: the file or the memory is too small for it.
            ValueError: damaged.
        """
        content = self._content(path)
        real, after = self._numbers(content, self.parts)
        part = np.asarray(real[index], np.float32)
        return part + 1j * np.asarray(self._numbers(content, after)[0][index], np.float32) if self.is_complex else part

    def _content(self, path: Path) -> np.ndarray:
        if not self.is_compressed:
            return np.memmap(path, np.uint8, "r", self.place, (self.size,))
        wanted = self.parts + 2 * 8 * prod(self.shape) + 64
        check_ratio(path, prod(self.shape), self.size, DEFLATE)
        check_room(path, 3 * wanted)
        with open(path, "rb") as file:
            file.seek(self.place)
            return np.frombuffer(zlib.decompressobj().decompress(file.read(self.size), wanted), np.uint8)

    def _numbers(self, content: np.ndarray, place: int) -> tuple[np.ndarray, int]:
        """The numbers of an element, and where the next one begins."""
        kind, start, size = _tag(content[place : place + 8].tobytes(), self.order)
        if kind not in TYPES:
            raise ValueError(f"the array {self.name} holds elements of the unknown type {kind}")
        dtype = np.dtype(self.order + TYPES[kind])
        first = place + start
        raw = content[first : first + prod(self.shape) * dtype.itemsize]
        if size != prod(self.shape) * dtype.itemsize or len(raw) != size:
            raise ValueError(f"the array {self.name} is cut short")
        return raw.view(dtype).reshape(self.shape, order="F"), first + size + (-(start + size)) % 8


def variables(path: Path) -> Iterator[Variable]:
    """The arrays of numbers of a file, from their headers; other variables are passed over.

    Raises:
        ValueError: damaged.
    """
    size, place = path.stat().st_size, HEADER
    with open(path, "rb", buffering=0) as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(HEADER)[126:])
        if order is None:
            raise ValueError("it does not say its byte order")
        for _ in range(MOST):
            file.seek(place)
            tag = file.read(8)
            if not tag:
                return
            kind, start, length = _tag(tag, order)
            end = place + start + length
            if len(tag) < 8 or end > size:
                raise ValueError("it is cut short")
            file.seek(place + start)
            first = file.read(min(length, BEGINNING))
            if kind == COMPRESSED:
                found = _variable(_begin(first), order, place + start, length, True)
            else:
                found = _variable(tag[:8] + first, order, place, end - place, False) if kind == MATRIX else None
            if found is not None:
                yield found
            place = end + ((-length) % 8 if kind != COMPRESSED else 0)


def _begin(first: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(first, BEGINNING)
    except zlib.error as error:
        raise ValueError("a compressed array of it is damaged") from error


def _variable(raw: bytes, order: str, place: int, size: int, is_compressed: bool) -> Variable | None:
    """The array whose content begins with ``raw``, its own tag first; None if it is none of numbers."""
    kind, _, _ = _tag(raw[:8], order)
    if kind != MATRIX:
        return None
    flags, at = _element(raw, 8, order)
    sizes, at = _element(raw, at, order)
    name, at = _element(raw, at, order)
    bits = int(np.frombuffer(flags[:4].ljust(4, b"\0"), order + "u4")[0])
    if bits & 0xFF not in CLASSES or bits & LOGICAL:
        return None
    shape = tuple(int(n) for n in np.frombuffer(sizes[: len(sizes) // 4 * 4], order + "i4"))
    if not shape or min(shape) < 0:
        raise ValueError("an array of it has no sizes")
    text = name.decode("ascii", "replace")
    return Variable(text, shape, bool(bits & COMPLEX), place, size, at, is_compressed, order)


def _element(raw: bytes, place: int, order: str) -> tuple[bytes, int]:
    """The content of a small element, and where the next one begins."""
    _, start, size = _tag(raw[place : place + 8], order)
    if place + start + size > len(raw):
        raise ValueError("the beginning of an array of it is damaged")
    return raw[place + start : place + start + size], place + start + size + (-(start + size)) % 8


def _tag(raw: bytes, order: str) -> tuple[int, int, int]:
    """Type, bytes before the content, and bytes of the content; up to four bytes are held in the tag itself."""
    if len(raw) < 8:
        raise ValueError("it is cut short")
    kind, size = (int(n) for n in np.frombuffer(raw, order + "u4"))
    return (kind, 8, size) if kind < 1 << 16 else (kind & 0xFFFF, 4, kind >> 16)
