"""The chunks of a PNG, checked whole: checksums, and as many bytes as its rows need.

Pillow fills rows that are missing with zeros and does not look at the checksums of the pixels.

References:
    PNG Specification, Third Edition, W3C 2025: 5 (chunks), 8 (interlacing), 11.2.1 (IHDR).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from math import ceil
from pathlib import Path

from scorefield.data.room import DEFLATE, check_ratio, inflated
from scorefield.errors import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the type of color
_ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))


def check_png(path: Path, raw: bytes) -> None:
    """Raise InputError or ValueError unless the PNG holds each pixel that it declares, with right checksums."""
    chunks = list(_chunks(raw))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13 or chunks[-1][0] != b"IEND":
        raise ValueError("its chunks do not run from IHDR to IEND")
    body = chunks[0][1]
    wide, high = (int.from_bytes(body[k : k + 4], "big") for k in (0, 4))
    depth, color, _, _, interlaced = body[8:]
    if color not in _SAMPLES or interlaced > 1:
        raise ValueError(f"its color type {color} or interlacing {interlaced} does not exist")
    if depth == 16 and color != 0:
        raise InputError(f"{path} is a 16-bit color picture; save it as 16-bit gray or 8-bit color.")
    wanted = _bytes(wide, high, depth * _SAMPLES[color], bool(interlaced))
    data = [body for name, body in chunks if name == b"IDAT"]
    check_ratio(path, wanted, sum(map(len, data)), DEFLATE)
    count = inflated(data, wanted)
    if count != wanted:
        raise ValueError(f"it holds {'more' if count > wanted else 'fewer'} bytes of pixels than its size asks for")


def _chunks(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents, up to IEND."""
    place = len(SIGNATURE)
    name = b""
    while name != b"IEND":
        length, name = int.from_bytes(raw[place : place + 4], "big"), raw[place + 4 : place + 8]
        body, code = raw[place + 8 : place + 8 + length], raw[place + 8 + length : place + 12 + length]
        if len(code) < 4:
            raise ValueError("it is cut short")
        if zlib.crc32(name + body) != int.from_bytes(code, "big"):
            raise ValueError(f"the checksum of its chunk {name!r} is wrong")
        yield name, body
        place += 12 + length


def _bytes(wide: int, high: int, bits: int, interlaced: bool) -> int:
    """The bytes of all rows, each with that of its filter."""
    passes = _ADAM7 if interlaced else ((0, 1, 0, 1),)
    sizes = [(ceil((high - r) / rs), ceil((wide - c) / cs)) for r, rs, c, cs in passes]
    return sum(rows * (1 + ceil(columns * bits / 8)) for rows, columns in sizes if rows > 0 and columns > 0)
