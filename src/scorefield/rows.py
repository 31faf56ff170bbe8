"""Events as vectors of real numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def as_rows(x: Tensor) -> Tensor:
    """``x`` (B, ...), real or complex, as real vectors (B, d); complex entries become pairs."""
    return torch.view_as_real(x.resolve_conj()).flatten(1) if x.is_complex() else x.flatten(1)
