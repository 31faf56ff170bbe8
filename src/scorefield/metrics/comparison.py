"""Checks and conversions before two images are compared: shape, magnitude, region."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.arguments import as_mask, as_tensor, of_kind
from scorefield.errors import InputError
from scorefield.samples import Samples


def _real(x: Tensor) -> Tensor:
    x = x.detach()
    return (x.abs() if x.is_complex() else x).double()


def comparable(x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Both images in float64, on the device of ``x``; their magnitudes when either is complex.

    Raises:
        InputError: shapes that differ, NaN or infinity.
    """
    x, truth = as_tensor(x, "image"), as_tensor(truth, "truth")
    if x.shape != truth.shape:
        raise InputError(f"Shapes {tuple(x.shape)} and {tuple(truth.shape)} differ; crop or resample one.")
    if not (bool(x.isfinite().all()) and bool(truth.isfinite().all())):
        raise InputError("An image to compare holds NaN or infinity; mask or repair it first.")
    if x.is_complex() or truth.is_complex():
        x, truth = x.abs(), truth.abs()
    return _real(x), _real(truth.to(x.device))


def comparable_draws(samples: Samples, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The draws (n, ...) and the truth (...) in float64; their magnitudes when either is complex.

    Raises:
        InputError: shapes that differ, NaN or infinity.
    """
    of_kind(samples, Samples, "samples", "give sf.Samples(draws), or the samples of a reconstruction")
    truth = as_tensor(truth, "truth")
    draws, stacked = comparable(samples.draws, truth.expand(len(samples.draws), *truth.shape))
    return draws, stacked[0]


def region(mask: Tensor | None, like: Tensor) -> Tensor:
    """The mask expanded to the shape of ``like``; all True when there is no mask.

    Raises:
        InputError: a mask of another shape, or without pixels.
    """
    if mask is None:
        return torch.ones_like(like, dtype=torch.bool)
    try:
        keep = as_mask(mask, "mask").to(like.device).expand(like.shape)
    except RuntimeError:
        raise InputError(
            f"The mask has shape {tuple(mask.shape)} and does not broadcast to the image {tuple(like.shape)};"
            " pass one value per pixel."
        ) from None
    if not bool(keep.any()):
        raise InputError("The mask selects no pixel; pass a region with at least one True.")
    return keep
