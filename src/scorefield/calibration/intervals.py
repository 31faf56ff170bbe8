"""Coverage of central intervals over scans, and the coverage of a perfect sampler with as many draws.

The errors of the quantities of one scan are correlated, so the standard error of a coverage is computed between scans:
the standard deviation of the coverages of single scans over the square root of their number.  It is at least the
standard error for independent quantities.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from scorefield.calibration.ranks import check_scans
from scorefield.errors import InputError
from scorefield.metrics import expected_coverage
from scorefield.samples import Samples

LEVELS = (0.5, 0.8, 0.9, 0.95)


class Coverage(NamedTuple):
    """The share of truths that lie in their central intervals.

    Args:
        level: nominal probability of the intervals.
        observed: share of the quantities of all scans whose truth lies in its interval.
        error: standard error of ``observed``.
        expected: the share for a perfect sampler with this number of draws.
    """

    level: float
    observed: float
    error: float
    expected: float

    @property
    def z(self) -> float:
        """The difference of observed and expected coverage, in standard errors."""
        return (self.observed - self.expected) / self.error


def interval_coverage(draws: Tensor, truth: Tensor, level: float = 0.9) -> Coverage:
    """Coverage of :meth:`Samples.interval` over scans and quantities.

    Args:
        draws: real numbers (scans, n, *quantities), n >= 2.
        truth: (scans, *quantities).
        level: nominal probability.

    Raises:
        InputError: shapes that do not fit, non-finite numbers, or fewer than two scans or draws.
    """
    check_scans(draws, truth)
    scans = len(draws)
    if scans < 2:
        raise InputError("A coverage with its standard error needs at least 2 scans, got 1.")
    low, high = Samples(draws.transpose(0, 1)).interval(level)
    shares = ((low <= truth) & (truth <= high)).double().reshape(scans, -1).mean(1)
    expected = expected_coverage(draws.shape[1], level)
    least = math.sqrt(expected * (1 - expected) / truth.numel())
    return Coverage(level, float(shares.mean()), max(float(shares.std()) / math.sqrt(scans), least), expected)
