"""Memory that a file asks for, compared with its size and with what is free, before anything is decoded.

A compressed file of a kilobyte may declare gigabytes.  What it declares is read from its header; no decoder starts when
the file is too small to hold it, or the machine too small to take it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import torch

from scorefield.errors import InputError
from scorefield.machine import free_bytes

DEFLATE = 1032  # largest ratio of deflate: 258 bytes for two bits (zlib.net/zlib_tech.html)
PACKBITS = 64  # of run lengths in DICOM and TIFF: 128 bytes for two
PIECE = 1 << 20


def check_ratio(path: Path, wanted: int, held: int, ratio: int = 1) -> None:
    """Raise InputError where ``held`` bytes, each of which may stand for ``ratio``, cannot give ``wanted`` bytes."""
    if wanted > ratio * held:
        raise InputError(
            f"Cannot read {path} (it declares {in_words(wanted)}, and the {in_words(held)} that it holds cannot be all"
            " of them); it is damaged or cut short, so copy or export it again."
        )


def check_room(path: Path, nbytes: int) -> None:
    """Raise InputError where reading the file takes ``nbytes`` of memory and there are fewer."""
    free = free_bytes(torch.device("cpu"))
    if nbytes > free:
        raise InputError(
            f"{path} takes {in_words(nbytes)} of memory to read and {in_words(free)} are free; cut it into smaller"
            " files, or read a volume slice by slice with Images(path, axis=2)."
        )


def inflated(pieces: Iterable[bytes], limit: int, window: int = zlib.MAX_WBITS, *, slack: int = 0) -> int:
    """The bytes that a deflated stream in ``pieces`` gives, without keeping them; ``limit`` + 1 where they are more.

    Args:
        pieces: the stream.
        limit: where counting ends.
        window: of zlib; negative for a stream without header and checksum.
        slack: bytes that may follow the stream.

    Raises:
        ValueError: the stream does not end, or something follows it.
        zlib.error: the stream is damaged; its checksum is verified.
    """
    stream, count, surplus = zlib.decompressobj(window), 0, False
    for piece in pieces:
        surplus = surplus or (stream.eof and bool(piece))
        rest, more = piece, True
        while more and not stream.eof and count <= limit:
            number = len(stream.decompress(rest, PIECE))
            count, rest = count + number, stream.unconsumed_tail
            more = bool(rest) or number == PIECE
        if count > limit:
            return limit + 1
    if not stream.eof or len(stream.unused_data) > slack or surplus:
        raise ValueError("the compressed data do not end where the file says")
    return count


def in_words(nbytes: int) -> str:
    """A number of bytes for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if nbytes >= size:
            return f"{nbytes / size:,.3g} {unit}" if nbytes < 1e15 else f"{nbytes:.1e} bytes"
    return f"{nbytes} bytes"
