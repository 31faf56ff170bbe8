"""What a user would try first: reconstructions without a learned prior, shaped like ``samples.mean``."""

from scorefield.baselines.linear import fbp, least_squares, zero_filled
from scorefield.baselines.oracle import TunedTotalVariation, tuned_total_variation
from scorefield.baselines.tv import total_variation

__all__ = [
    "TunedTotalVariation",
    "fbp",
    "least_squares",
    "total_variation",
    "tuned_total_variation",
    "zero_filled",
]
