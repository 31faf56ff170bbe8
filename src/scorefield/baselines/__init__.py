"""What a user would try first: reconstructions without a learned prior, shaped like ``samples.mean``."""

from scorefield.baselines.epll import epll
from scorefield.baselines.linear import fbp, least_squares, zero_filled
from scorefield.baselines.nonlocal_means import non_local_means
from scorefield.baselines.oracle import TunedTotalVariation, tuned_total_variation
from scorefield.baselines.tuning import Tuned, tune
from scorefield.baselines.tv import total_variation
from scorefield.baselines.wavelet import wavelet_shrinkage

__all__ = [
    "Tuned",
    "TunedTotalVariation",
    "epll",
    "fbp",
    "least_squares",
    "non_local_means",
    "total_variation",
    "tune",
    "tuned_total_variation",
    "wavelet_shrinkage",
    "zero_filled",
]
