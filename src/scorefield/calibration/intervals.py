"""Coverage of central intervals over scans, against what a perfect sampler with as many draws covers.

The quantities of one scan err together, so the error of a coverage is taken between scans: the standard deviation of
the scans' own coverages over the root of their number, and never less than if all quantities were independent.
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
    """How often central intervals hold the truth.

    Args:
        level: nominal probability.
        observed: share of the quantities of all scans inside.
        error: its standard error.
        expected: what a perfect sampler with this number of draws covers.
    """

    level: float
    observed: float
    error: float
    expected: float

    @property
    def z(self) -> float:
        """Observed minus expected in standard errors."""
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
    each = ((low <= truth) & (truth <= high)).double().reshape(scans, -1).mean(1)
    expected = expected_coverage(draws.shape[1], level)
    least = math.sqrt(expected * (1 - expected) / truth.numel())
    return Coverage(level, float(each.mean()), max(float(each.std()) / math.sqrt(scans), least), expected)
