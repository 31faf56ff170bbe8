"""The error of one image: PSNR, NMSE and SSIM.

References:
    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004.
    Zbontar et al., "fastMRI", arXiv:1811.08839 (the conventions of PSNR, SSIM and NMSE).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from scorefield.arguments import as_tensor
from scorefield.errors import InputError
from scorefield.metrics.comparison import comparable, region


def peak_of(truth: Tensor) -> float:
    """The maximum of ``|truth|``, the default peak of PSNR and SSIM.

    Raises:
        InputError: the image is zero or empty.
    """
    truth = as_tensor(truth, "truth")
    peak = float(truth.detach().abs().max()) if truth.numel() else 0.0
    if not (math.isfinite(peak) and peak > 0):
        raise InputError(f"The reference image has peak {peak}; pass a finite, non-zero one, or a peak.")
    return peak


def psnr(x: Tensor, truth: Tensor, *, peak: float, mask: Tensor | None = None) -> float:
    r"""Peak signal-to-noise ratio in dB: ``10 log10(peak^2 / MSE)``; infinite for equal images.

    Args:
        x: an image, shaped like the truth.
        truth: the true image.
        peak: the image value of 0 dB; with 1, 255 or the maximum of the image results differ by many dB.
        mask: region of interest, boolean, broadcastable to the truth.

    Raises:
        InputError: shapes that differ, NaN, a peak that is not positive, or a mask without pixels.
    """
    peak = _positive(peak)
    x, truth = comparable(x, truth)
    error = float((x - truth).square()[region(mask, truth)].mean())
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf


def nmse(x: Tensor, truth: Tensor, *, mask: Tensor | None = None) -> float:
    """Normalized mean squared error, ``|x - truth|^2 / |truth|^2`` (fastMRI's definition).

    Args:
        x: an image, shaped like the truth.
        truth: the true image.
        mask: region of interest, boolean, broadcastable to the truth.

    Raises:
        InputError: shapes that differ, NaN, a mask without pixels, or a truth that is zero in the region.
    """
    x, truth = comparable(x, truth)
    keep = region(mask, truth)
    energy = float(truth.square()[keep].sum())
    if energy == 0:
        raise InputError("NMSE divides by the reference's energy, zero in this region; choose a larger one.")
    return float((x - truth).square()[keep].sum()) / energy


def ssim(x: Tensor, truth: Tensor, *, peak: float, mask: Tensor | None = None) -> float:
    """Structural similarity as in fastMRI: uniform 7 x 7 window, sample covariance, ``data_range = peak``.

    Volumes are scored slice by slice along their first spatial axis and channels one by one, then averaged.
    Windows that would leave the image are not counted, so a mask should reach further in than three pixels.

    Args:
        x: an image (C, *spatial), two or three spatial axes.
        truth: the true image, same shape.
        peak: the data range.
        mask: region of interest, boolean, broadcastable to the truth: the pixels whose windows count.

    Raises:
        InputError: shapes that differ, slices below 7 x 7, a peak that is not positive, or an empty mask.
    """
    x, truth = comparable(x, truth)
    if not has_ssim(truth):
        raise InputError(f"SSIM needs images of at least 7 x 7 pixels, got {tuple(truth.shape)}; use PSNR.")
    from skimage.metrics import structural_similarity

    rim, size = 3, truth.shape[-2:]  # the windows of pixels this close to the border would leave the image
    inner = region(mask, truth).reshape(-1, *size)[:, rim:-rim, rim:-rim]
    if not bool(inner.any()):
        raise InputError(f"The mask has no pixel more than {rim} from the border; enlarge it for SSIM.")
    pairs = zip(x.reshape(-1, *size).cpu().numpy(), truth.reshape(-1, *size).cpu().numpy(), strict=True)
    maps = np.stack(
        [structural_similarity(b, a, win_size=7, data_range=_positive(peak), full=True)[1] for a, b in pairs]
    )
    return float(torch.from_numpy(maps)[:, rim:-rim, rim:-rim][inner.cpu()].mean())


def has_ssim(truth: Tensor) -> bool:
    """Whether SSIM is defined: an image (C, *spatial) of two or three spatial axes, at least 7 x 7 pixels."""
    return truth.ndim in (3, 4) and min(truth.shape[-2:]) >= 7


def _positive(peak: float) -> float:
    if not (math.isfinite(peak) and peak > 0):
        raise InputError(f"The peak must be a positive finite image value, got {peak}.")
    return float(peak)
