"""Random numbers: independent streams from one seed, and standard normal numbers of any shape and dtype."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def stream(seed: int, *path: int | str) -> int:
    """The seed of the stream at ``path``: 56 well-mixed bits.

    A stream is a function of its address alone, so what was drawn elsewhere, or by whom, does not matter: a run that
    is resumed, or shared by several processes, draws what it would have drawn in one piece.
    """
    address = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:7], "big")


def normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal numbers shaped like ``x``: every real component has variance 1.

    A complex ``x`` gets independent real and imaginary parts, so ``E|z|^2 = 2``.
    """
    if x.is_complex():
        real = torch.view_as_real(x.resolve_conj())
        return torch.view_as_complex(normal_like(real, generator))
    return torch.empty_like(x, memory_format=torch.contiguous_format).normal_(generator=generator)
