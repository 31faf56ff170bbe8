"""Other forms of a tensor: rows of real numbers, another precision, mixed channels."""

from __future__ import annotations

import torch
from torch import Tensor

SINGLE = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.complex32: torch.complex64}


def as_rows(x: Tensor) -> Tensor:
    """``x`` (B, ...), real or complex, as real vectors (B, d); complex entries become pairs."""
    return torch.view_as_real(x.resolve_conj()).flatten(1) if x.is_complex() else x.flatten(1)


def from_rows(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of :func:`as_rows`: real vectors (B, d) as data or images shaped like ``like`` (1 or B, ...)."""
    shape = (len(rows), *like.shape[1:])
    return torch.view_as_complex(rows.reshape(*shape, 2)) if like.is_complex() else rows.reshape(shape)


def squared_norm(v: Tensor) -> Tensor:
    """``|v|^2`` of each image, summed over its real components: (B, ...) to (B,)."""
    return as_rows(v).square().sum(1)


def norm(v: Tensor) -> Tensor:
    """``|v|`` of each image, (B, ...) to (B,), in double precision: squares leave the range of single precision."""
    return torch.linalg.vector_norm(as_rows(v), dim=1, dtype=torch.float64)


def power_of_two(size: Tensor) -> Tensor:
    """The largest power of two at or below each of the sizes (B,), 1 for a size of 0: a unit that costs no rounding."""
    mantissa, _ = torch.frexp(size)  # in [1/2, 1)
    return torch.where(size > 0, size / (2 * mantissa), 1)


def per_image(value: Tensor | float, like: Tensor) -> Tensor:
    """A real number for each image, (B,), or one for all, (), as a tensor that broadcasts against ``like`` (B, ...).

    It takes the device and the real precision of ``like``, so that it never promotes the images; truth values stay.
    """
    truth = isinstance(value, Tensor) and value.dtype == torch.bool
    value = torch.as_tensor(value, dtype=torch.bool if truth else like.real.dtype, device=like.device)
    return value.reshape(-1, *[1] * (like.ndim - 1))


def cast(weights: Tensor, like: Tensor) -> Tensor:
    """``weights`` in the precision of ``like``, still real or complex as they were."""
    return weights.to(like.dtype.to_complex() if weights.is_complex() else like.real.dtype)


def in_precision(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``x``, real or complex, in the precision of the real ``dtype``."""
    return x.to(dtype.to_complex() if x.is_complex() else dtype)


def mix_channels(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply the channels of ``x`` (B, channels, ...) by ``matrix`` (n, channels), in the precision of x."""
    dtype = x.dtype.to_complex() if matrix.is_complex() or x.is_complex() else x.dtype
    return torch.einsum("ij,bj...->bi...", matrix.to(device=x.device, dtype=dtype), x.to(dtype))


def at_least_single(x: Tensor) -> Tensor:
    """``x``, in single precision where it is in half precision, in which few operators can compute."""
    return x.to(SINGLE.get(x.dtype, x.dtype))
