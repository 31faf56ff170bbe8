"""What tells tensors from others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def digest(tensors: Iterable[Tensor], *words: str) -> str:
    """SHA-256 of the dtypes, shapes and numbers of tensors, in their order, and of words after them; hexadecimal."""
    found = hashlib.sha256()
    for tensor in tensors:
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        found.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    for word in words:
        found.update(word.encode())
    return found.hexdigest()
