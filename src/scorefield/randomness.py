"""Random numbers: independent streams from one seed, and standard normal numbers of any shape and dtype.

A stream has an address, a seed and a path such as ``(seed, "truth", 3)``.  The SHA-256 hash of the address seeds its
generator, so streams with different addresses are independent, and no generator is passed from step to step.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def stream(seed: int, *path: int | str) -> int:
    """The seed of the stream at ``path``: 56 well-mixed bits.

    A stream depends on its address only.  So a run that is resumed, or shared by several processes, draws the same
    numbers as a run in one piece.

    Args:
        seed: of the run.
        path: names and numbers that address the stream within the run.
    """
    address = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:7], "big")


def normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal numbers shaped like ``x``: every real component has variance 1.

    For a complex ``x`` the real and imaginary parts are independent, so ``E|z|^2 = 2``.
    """
    if x.is_complex():
        real = torch.view_as_real(x.resolve_conj())
        return torch.view_as_complex(normal_like(real, generator))
    return torch.empty_like(x, memory_format=torch.contiguous_format).normal_(generator=generator)
