"""Checks of counts, for the laws of Poisson."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError


def check_counts(y: Tensor, mean: Tensor) -> None:
    """Refuse data that no law of counts gives.

    Raises:
        InputError: complex data or predictions where they are to be real, or data below 0.
    """
    if y.is_complex() or mean.is_complex() or bool((y < 0).any()):
        raise InputError("Counts are real and >= 0, and so is what predicts them; check the data and the operator.")


def as_counts(value: Tensor | float, name: str) -> Tensor:
    """``value`` as a tensor of numbers >= 0.

    Raises:
        InputError: negative, NaN or infinite values.
    """
    value = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
    if not bool(((value >= 0) & value.isfinite()).all()):
        raise InputError(f"The {name} must be finite numbers >= 0, in counts.")
    return value
