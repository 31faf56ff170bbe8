"""The strips and tiles of a TIFF, checked whole: as many bytes as the rows need, and the checksums of deflated ones.

Pillow skips fields that it cannot read, fills rows that are missing with zeros, and does not look at checksums.

References:
    TIFF 6.0, Adobe 1992: sections 2 (structure), 8 (baseline fields), 15 (tiles); Photoshop TIFF Technical Notes, Adobe
    2002 (deflate).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path
from typing import Any

from scorefield.data.room import check_ratio, inflated
from scorefield.errors import InputError

WIDE, HIGH, BITS, COMPRESSION, SAMPLES, FORMAT = 256, 257, 258, 259, 277, 339
STRIPS, STRIP_BYTES, TILE_WIDE, TILE_HIGH, TILES, TILE_BYTES = 273, 279, 322, 323, 324, 325
_NEEDED = (WIDE, HIGH, BITS, COMPRESSION, 262, STRIPS, SAMPLES, 278, STRIP_BYTES, 284, 317, TILES, TILE_BYTES, FORMAT)
_WHOLE = (1, 3, 4, 16)  # types of whole numbers: BYTE, SHORT, LONG, and LONG8 of BigTIFF
_NONE, _DEFLATE = 1, (8, 32946)
_LARGEST = 1 << 14  # ratio of LZW, whose codes of 12 bits stand for up to 4096 bytes


def check_tiff(path: Path, raw: bytes, tags: Mapping[int, Any]) -> None:
    """Raise InputError or ValueError unless the first picture of the file is there whole, and in numbers read right."""
    _check_fields(raw)
    _check_numbers(path, tags)
    bits, samples = tags.get(BITS, (1,)), tags.get(SAMPLES, 1)
    if len(bits) != samples:
        raise ValueError(f"it states {samples} samples a pixel and the bits of {len(bits)}")
    tiled = TILES in tags
    wide, high = (_padded(tags, WIDE, TILE_WIDE), _padded(tags, HIGH, TILE_HIGH)) if tiled else (tags[WIDE], tags[HIGH])
    wanted = ceil(wide * sum(bits) / 8) * high
    pieces = list(_pieces(raw, tags[TILES if tiled else STRIPS], tags.get(TILE_BYTES if tiled else STRIP_BYTES, ())))
    held, compression = sum(map(len, pieces)), tags.get(COMPRESSION, _NONE)
    if compression in _DEFLATE:
        held = sum(inflated([piece], wanted, slack=1) for piece in pieces)
    elif compression != _NONE:
        return check_ratio(path, wanted, held, _LARGEST)
    if held != wanted:
        word, size = "fewer" if held < wanted else "more", f"{tags[WIDE]} x {tags[HIGH]}"
        raise InputError(f"{path} holds {word} bytes than its {size} pixels need; export it again.")
    return None


def _check_numbers(path: Path, tags: Mapping[int, Any]) -> None:
    """Refuse the samples that Pillow opens and gets wrong: deep color, signed bytes, unsigned 32 bits."""
    depths = tags.get(BITS, (1,))
    depth, signed, integer = max(depths), 2 in tags.get(FORMAT, (1,)), 3 not in tags.get(FORMAT, (1,))
    if (len(depths) >= 3 and depth > 8) or (depth == 8 and signed) or (depth == 32 and integer and not signed):
        kind = f"{depth}-bit {'signed' if signed else 'unsigned'} {'color' if len(depths) >= 3 else 'gray'}"
        raise InputError(f"{path} holds {kind}, which is not read right; save it as 8-bit, 16-bit gray, float or .npy.")


def _padded(tags: Mapping[int, Any], size: int, tile: int) -> int:
    """A side of the picture in whole tiles."""
    return ceil(tags[size] / tags[tile]) * tags[tile]


def _pieces(raw: bytes, places: tuple[int, ...], sizes: tuple[int, ...]) -> Iterator[bytes]:
    for place, size in zip(places, sizes, strict=True):
        if place + size > len(raw):
            raise ValueError("it is cut short: a strip ends behind the file")
        yield raw[place : place + size]


def _check_fields(raw: bytes) -> None:
    """Raise ValueError where a field that decides how pixels are read comes twice or is no whole number."""
    order, big = "little" if raw[:2] == b"II" else "big", raw[2:4] in (b"+\0", b"\0+")

    def number(place: int, width: int) -> int:
        return int.from_bytes(raw[place : place + width], order)  # pyright: ignore[reportArgumentType]

    start, step, width = (number(8, 8), 20, 8) if big else (number(4, 4), 12, 2)
    seen: set[int] = set()
    fields = number(start, width)
    if start + width + step * fields > len(raw):
        raise ValueError("its list of fields ends behind the file")
    for k in range(fields):
        place = start + width + step * k
        tag, kind, count = number(place, 2), number(place + 2, 2), number(place + 4, 8 if big else 4)
        if tag in _NEEDED and (tag in seen or kind not in _WHOLE or count == 0):
            raise ValueError(f"its field {tag} comes twice or is no whole number")
        seen.add(tag)
