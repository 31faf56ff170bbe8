r"""Metrics: how close a reconstruction is to the truth, and how honest its uncertainty is.

Images are compared by *magnitude* wherever either of the two is complex: a constant phase is no error, and a
complex scan is read by its magnitude.  The point estimate of complex draws is then :math:`|\bar x|`, the
magnitude of their mean; intervals, ranks and CRPS are those of the magnitudes of the draws.

With :math:`n` draws exchangeable with the truth, the truth lies below the k-th smallest draw with probability
:math:`k/(n+1)`, whatever their law.  The quantile of probability p therefore sits at position :math:`p(n+1)`
among the sorted draws (type 6 of Hyndman & Fan; :meth:`Samples.quantile`), not at :math:`1 + p(n-1)`, numpy's
and torch's default, which under-covers for small n.  What a perfect sampler then covers is
:func:`expected_coverage`.

References:
    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004.
    Zbontar et al., "fastMRI", arXiv:1811.08839 (the conventions of PSNR, SSIM and NMSE).
    Gneiting & Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 2007.
    Ferro, "Fair scores for ensemble forecasts", QJRMS 2014.
    Hyndman & Fan, "Sample quantiles in statistical packages", American Statistician 1996.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scorefield.errors import InputError

if TYPE_CHECKING:
    from scorefield.samples import Samples


@dataclass(frozen=True)
class Evaluation:
    """What a reconstruction is worth against a known truth.

    Attributes:
        psnr: of the posterior mean, in dB, with ``peak``.
        ssim: of the posterior mean, uniform 7 x 7 window, data range ``peak``; None for smaller images.
        nmse: of the posterior mean, ``|mean - truth|^2 / |truth|^2``.
        crps: fair continuous ranked probability score, pixel mean, in the image's unit; lower is better.
        coverage: fraction of pixels whose truth is inside the central interval of ``level``.
        expected_coverage: what a perfect sampler with this number of draws covers.
        width: mean width of that interval, in the image's unit.
        level: nominal probability of the interval.
        peak: the image value PSNR and SSIM are relative to.
    """

    psnr: float
    ssim: float | None
    nmse: float
    crps: float
    coverage: float
    expected_coverage: float
    width: float
    level: float
    peak: float


def evaluate(
    samples: Samples,
    truth: Tensor,
    *,
    peak: float | None = None,
    mask: Tensor | None = None,
    level: float = 0.9,
) -> Evaluation:
    """All metrics of posterior draws against the truth.

    Args:
        samples: at least two draws (n, C, *spatial).
        truth: the true image (C, *spatial), in the same unit.
        peak: the image value PSNR and SSIM are relative to; by default the maximum of ``|truth|``.
        mask: region of interest, boolean, broadcastable to the truth; all pixels when None.
        level: nominal probability of the central interval.

    Raises:
        InputError: fewer than two draws, shapes that differ, a mask without pixels, or NaN.
    """
    peak = peak_of(truth) if peak is None else float(peak)
    mean = samples.mean
    return Evaluation(
        psnr=psnr(mean, truth, peak=peak, mask=mask),
        ssim=ssim(mean, truth, peak=peak, mask=mask) if _has_ssim(truth) else None,
        nmse=nmse(mean, truth, mask=mask),
        crps=crps(samples, truth, mask=mask),
        coverage=coverage(samples, truth, level, mask=mask),
        expected_coverage=expected_coverage(len(samples.draws), level),
        width=float(interval_width(samples, level)[_region(mask, truth)].double().mean()),
        level=float(level),
        peak=peak,
    )


def peak_of(truth: Tensor) -> float:
    """The maximum of ``|truth|``: the peak that PSNR and SSIM use unless told otherwise.

    Raises:
        InputError: the image is zero or empty.
    """
    peak = float(truth.detach().abs().max()) if truth.numel() else 0.0
    if not (math.isfinite(peak) and peak > 0):
        raise InputError(f"The reference image has peak {peak}; pass a finite, non-zero one, or a peak.")
    return peak


def psnr(x: Tensor, truth: Tensor, *, peak: float, mask: Tensor | None = None) -> float:
    r"""Peak signal-to-noise ratio in dB: ``10 log10(peak^2 / MSE)``; infinite for equal images.

    Args:
        x: an image, shaped like the truth.
        truth: the true image.
        peak: the image value of 0 dB; 1, 255 and the image's maximum differ by many dB.
        mask: region of interest, boolean, broadcastable to the truth.

    Raises:
        InputError: shapes that differ, NaN, a peak that is not positive, or a mask without pixels.
    """
    peak = _positive(peak)
    x, truth = _comparable(x, truth)
    error = float((x - truth).square()[_region(mask, truth)].mean())
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf


def nmse(x: Tensor, truth: Tensor, *, mask: Tensor | None = None) -> float:
    """Normalized mean squared error, ``|x - truth|^2 / |truth|^2`` (fastMRI's definition).

    Raises:
        InputError: shapes that differ, NaN, a mask without pixels, or a truth that is zero in the region.
    """
    x, truth = _comparable(x, truth)
    keep = _region(mask, truth)
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
    x, truth = _comparable(x, truth)
    if not _has_ssim(truth):
        raise InputError(f"SSIM needs images of at least 7 x 7 pixels, got {tuple(truth.shape)}; use PSNR.")
    from skimage.metrics import structural_similarity

    rim, size = 3, truth.shape[-2:]  # the windows of pixels this close to the border would leave the image
    inner = _region(mask, truth).reshape(-1, *size)[:, rim:-rim, rim:-rim]
    if not bool(inner.any()):
        raise InputError(f"The mask has no pixel more than {rim} from the border; enlarge it for SSIM.")
    pairs = zip(x.reshape(-1, *size).cpu().numpy(), truth.reshape(-1, *size).cpu().numpy(), strict=True)
    maps = np.stack(
        [structural_similarity(b, a, win_size=7, data_range=_positive(peak), full=True)[1] for a, b in pairs]
    )
    return float(torch.from_numpy(maps)[:, rim:-rim, rim:-rim][inner.cpu()].mean())


def crps(samples: Samples, truth: Tensor, *, mask: Tensor | None = None) -> float:
    r"""Fair continuous ranked probability score, averaged over pixels, in the image's unit.

    :math:`\frac1n \sum_i |x_i - t| - \frac{1}{2n(n-1)} \sum_{ij} |x_i - x_j|`: unbiased for the score of
    infinitely many draws, so it may be compared across n.

    Raises:
        InputError: fewer than two draws, shapes that differ, NaN, or a mask without pixels.
    """
    draws, truth = _comparable_draws(samples, truth)
    _several(len(draws))
    return float(_crps(draws, truth, fair=len(draws) - 1)[_region(mask, truth)].mean())


def crps_ensemble(samples: Samples, truth: Tensor, *, mask: Tensor | None = None) -> float:
    r"""Plain CRPS of the n draws as they are, averaged over pixels, in the image's unit.

    :math:`\frac1n \sum_i |x_i - t| - \frac{1}{2n^2} \sum_{ij} |x_i - x_j|`: the score of the empirical
    distribution, which falls with n; one draw scores its absolute error.

    Raises:
        InputError: shapes that differ, NaN, or a mask without pixels.
    """
    draws, truth = _comparable_draws(samples, truth)
    return float(_crps(draws, truth, fair=len(draws))[_region(mask, truth)].mean())


def _crps(draws: Tensor, truth: Tensor, fair: int) -> Tensor:
    """CRPS per pixel with ``sum_ij |x_i - x_j|`` over ``2 n fair``, the sum from sorted draws in n log n."""
    n = len(draws)
    # sum_{i<j} (x_(j) - x_(i)) has weight 2 rank - n + 1
    weights = torch.arange(1 - n, n, 2, dtype=draws.dtype, device=draws.device)
    pairs = torch.tensordot(weights, draws.sort(dim=0).values, dims=1)
    return (draws - truth).abs().mean(0) - pairs / (n * fair)


def coverage(samples: Samples, truth: Tensor, level: float = 0.9, *, mask: Tensor | None = None) -> float:
    """Fraction of pixels whose truth lies inside the central interval of ``level``.

    The interval is :meth:`Samples.interval`; compare with :func:`expected_coverage`.  A truth equal to some
    draws counts by the share of its possible ranks, ties broken at random, that the interval spans: a
    background of zeros in the truth and in all draws then counts as expected, not as a success.

    Raises:
        InputError: fewer than two draws, shapes that differ, NaN, a level outside (0, 1), or an empty mask.
    """
    draws, reference = _comparable_draws(samples, truth)
    _several(len(draws))
    n, tail = len(draws), (1 - _level(level)) / 2
    # intervals of complex draws are of their magnitudes; real draws join them only when the truth is complex
    alike = samples if samples.draws.is_complex() or not truth.is_complex() else replace(samples, draws=draws)
    low, high = (end.to(draws.dtype) for end in alike.interval(level))
    first, last = _ranks(draws, reference)
    # a truth of rank r lies between positions r and r + 1; the interval's ends are at positions p (n + 1)
    spanned = (last + 1).clamp(max=(n + 1) * (1 - tail)) - first.clamp(min=(n + 1) * tail)
    inside = torch.where(
        last > first,
        spanned.clamp_min(0).to(draws.dtype) / (last + 1 - first),
        (low <= reference) & (reference <= high),
    )
    return float(inside[_region(mask, reference)].mean())


def interval_width(samples: Samples, level: float = 0.9) -> Tensor:
    """Width of the central interval of ``level`` at every pixel (C, *spatial), in the image's unit.

    Raises:
        InputError: fewer than two draws, or a level outside (0, 1).
    """
    _several(len(samples.draws))
    low, high = samples.interval(_level(level))
    return high - low


def expected_coverage(n: int, level: float) -> float:
    r"""Coverage of the central interval of n draws when they are exchangeable with the truth.

    Its lower end is :math:`x_{(k)} + g (x_{(k+1)} - x_{(k)})` with :math:`k + g = (n+1)(1-\mathrm{level})/2`
    and k at least 1 (g is negative beyond the extreme draws).  For g = 0 a draw of any law undercuts it with
    probability :math:`k/(n+1)`, and the coverage is exactly ``level``.  Otherwise it depends on the law,
    weakly, and is integrated here for normal draws from :math:`u_{(k+1)} \sim \mathrm{Beta}(k+1, n-k)` and
    :math:`(u_{(k)}/u_{(k+1)})^k` uniform: 16 draws at 90 % cover 89.2 %, 4 draws 74 %.

    Raises:
        InputError: fewer than two draws, or a level outside (0, 1).
    """
    _several(n)
    from scipy.special import betaincinv, ndtr, ndtri

    position = (n + 1) * (1 - _level(level)) / 2
    k = min(max(int(position), 1), n - 1)
    nodes = (np.arange(400) + 0.5) / 400  # midpoint rule on the unit square; error below 1e-3 for n >= 2
    above = betaincinv(k + 1, n - k, nodes)[:, None]
    low, high = ndtri(above * nodes ** (1 / k)), ndtri(above)
    return float(1 - 2 * ndtr(low + (position - k) * (high - low)).mean())


def rank_histogram(samples: Samples, truth: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Fraction of pixels whose truth has rank 0 ... n among the n draws: (n + 1,); flat is right.

    Ties spread their weight evenly over the ranks they span.  A hump means too wide, a bowl too narrow.

    Raises:
        InputError: shapes that differ, NaN, or a mask without pixels.
    """
    draws, truth = _comparable_draws(samples, truth)
    keep = _region(mask, truth)
    first, last = (rank[keep] for rank in _ranks(draws, truth))
    share = 1.0 / (last - first + 1).to(draws.dtype)
    steps = torch.zeros(len(draws) + 2, dtype=draws.dtype, device=draws.device)
    steps.index_add_(0, first, share).index_add_(0, last + 1, -share)  # each pixel adds a box from first to last
    return steps.cumsum(0)[:-1].clamp_min(0) / first.numel()


def _ranks(draws: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest rank of the truth, 0 ... n, over all ways to break its ties with the draws."""
    return (draws < truth).sum(0), (draws <= truth).sum(0)


def _real(x: Tensor) -> Tensor:
    x = x.detach()
    return (x.abs() if x.is_complex() else x).double()


def _comparable(x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Two images in float64, by magnitude when either is complex."""
    if x.shape != truth.shape:
        raise InputError(f"Shapes {tuple(x.shape)} and {tuple(truth.shape)} differ; crop or resample one.")
    if not (bool(x.isfinite().all()) and bool(truth.isfinite().all())):
        raise InputError("An image to compare holds NaN or infinity; mask or repair it first.")
    if x.is_complex() or truth.is_complex():
        x, truth = x.abs(), truth.abs()
    return _real(x), _real(truth.to(x.device))


def _comparable_draws(samples: Samples, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The draws (n, ...) and the truth (...) in float64, by magnitude when either is complex."""
    draws, stacked = _comparable(samples.draws, truth.expand(len(samples.draws), *truth.shape))
    return draws, stacked[0]


def _region(mask: Tensor | None, like: Tensor) -> Tensor:
    if mask is None:
        return torch.ones_like(like, dtype=torch.bool)
    try:
        keep = mask.to(like.device).bool().expand(like.shape)
    except RuntimeError:
        raise InputError(
            f"The mask has shape {tuple(mask.shape)} and does not broadcast to the image {tuple(like.shape)};"
            " pass one value per pixel."
        ) from None
    if not bool(keep.any()):
        raise InputError("The mask selects no pixel; pass a region with at least one True.")
    return keep


def _has_ssim(truth: Tensor) -> bool:
    return truth.ndim in (3, 4) and min(truth.shape[-2:]) >= 7


def _positive(peak: float) -> float:
    if not (math.isfinite(peak) and peak > 0):
        raise InputError(f"The peak must be a positive finite image value, got {peak}.")
    return float(peak)


def _level(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"An interval's level must be inside (0, 1), got {level}; 0.9 means 90 %.")
    return float(level)


def _several(n: int) -> None:
    if n < 2:
        raise InputError(f"Uncertainty needs at least two draws, got {n}; sample with a larger n.")
