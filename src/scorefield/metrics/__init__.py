r"""Metrics: the error of a reconstruction, and the quality of its uncertainty.

Where an image or the truth is complex, both are compared by *magnitude*, because a constant phase is no error.  The
point estimate of complex draws is then :math:`|\bar x|`, the magnitude of their mean; intervals, ranks and CRPS are
those of the magnitudes of the draws.

If :math:`n` draws are exchangeable with the truth, the truth lies below the k-th smallest draw with probability
:math:`k/(n+1)`, for any law.  The quantile of probability p is therefore at position :math:`p(n+1)` among the sorted
draws (type 6 of Hyndman & Fan; :meth:`Samples.quantile`).  The default of numpy and torch is :math:`1 + p(n-1)`, whose
intervals are too narrow for small n.  The coverage of a perfect sampler is :func:`expected_coverage`.

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
    rank_histogram,
    uncertain_region,
)

__all__ = [
    "Evaluation",
    "coverage",
    "crps",
    "crps_ensemble",
    "evaluate",
    "expected_coverage",
    "interval_width",
    "nmse",
    "peak_of",
    "psnr",
    "rank_histogram",
    "ssim",
    "uncertain_region",
]
