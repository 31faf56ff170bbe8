"""Independent streams of random numbers from one seed."""

from __future__ import annotations

import hashlib


def stream(seed: int, *path: int | str) -> int:
    """The seed of the stream at ``path``: 56 well-mixed bits.

    A stream is a function of its address alone, so what was drawn elsewhere, or by whom, does not matter: a run that
    is resumed, or shared by several processes, draws what it would have drawn in one piece.
    """
    address = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:7], "big")
