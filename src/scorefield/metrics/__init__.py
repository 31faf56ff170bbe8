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

from scorefield.metrics.accuracy import nmse, peak_of, psnr, ssim
from scorefield.metrics.evaluation import Evaluation, evaluate
from scorefield.metrics.uncertainty import (
    coverage,
    crps,
    crps_ensemble,
    expected_coverage,
    interval_width,
    judged,
    rank_histogram,
)

__all__ = [
    "Evaluation",
    "coverage",
    "crps",
    "crps_ensemble",
    "evaluate",
    "expected_coverage",
    "interval_width",
    "judged",
    "nmse",
    "peak_of",
    "psnr",
    "rank_histogram",
    "ssim",
]
