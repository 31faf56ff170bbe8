"""All metrics of posterior draws at once."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scorefield.arguments import as_mask, as_tensor, of_kind
from scorefield.metrics.accuracy import has_ssim, nmse, peak_of, psnr, ssim
from scorefield.metrics.comparison import region
from scorefield.metrics.uncertainty import coverage, crps, expected_coverage, interval_width, uncertain_region
from scorefield.samples import Samples


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a reconstruction whose truth is known.

    Attributes:
        psnr: of the posterior mean, in dB, with ``peak``.
        ssim: of the posterior mean, uniform 7 x 7 window, data range ``peak``; None for smaller images.
        nmse: of the posterior mean, ``|mean - truth|^2 / |truth|^2``.
        crps: fair continuous ranked probability score, pixel mean, in the image's unit; lower is better.
        coverage: fraction of pixels whose truth is inside the central interval of ``level``; of complex images only
            pixels above the background count (:func:`uncertain_region`).
        expected_coverage: coverage of a perfect sampler with this number of draws.
        width: mean width of that interval over the same pixels, in the image's unit.
        level: nominal probability of the interval.
        peak: the image value that PSNR and SSIM are relative to.
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
    """Compute all metrics of posterior draws, given the truth.

    Args:
        samples: at least two draws (n, C, *spatial).
        truth: the true image (C, *spatial), in the same unit.
        peak: the image value that PSNR and SSIM are relative to; by default the maximum of ``|truth|``.
        mask: region of interest, boolean, broadcastable to the truth; by default all pixels, and for coverage
            and width the :func:`uncertain_region`.
        level: nominal probability of the central interval.

    Raises:
        InputError: fewer than two draws, shapes that differ, a mask without pixels, or NaN.
    """
    of_kind(samples, Samples, "samples", "give sf.Samples(draws), or the samples of a reconstruction")
    truth, mask = as_tensor(truth, "truth"), None if mask is None else as_mask(mask, "mask")
    peak = peak_of(truth) if peak is None else float(peak)
    mean, uncertain = samples.mean, uncertain_region(samples, truth) if mask is None else mask
    return Evaluation(
        psnr=psnr(mean, truth, peak=peak, mask=mask),
        ssim=ssim(mean, truth, peak=peak, mask=mask) if has_ssim(truth) else None,
        nmse=nmse(mean, truth, mask=mask),
        crps=crps(samples, truth, mask=mask),
        coverage=coverage(samples, truth, level, mask=uncertain),
        expected_coverage=expected_coverage(len(samples.draws), level),
        width=float(interval_width(samples, level)[region(uncertain, samples.mean)].double().mean()),
        level=float(level),
        peak=peak,
    )
