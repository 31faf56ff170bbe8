r"""Paired intervals: methods see the same data of the same slices, so they are compared slice by slice.

With differences d of n slices, :math:`\bar d \pm t_{n-1, 0.975}\, s_d / \sqrt n` covers the mean difference over such
slices with probability 95 %, if the slices are independent and d about normal.  The MR brains are of six subjects; the
slices of other test sets are of one subject each, and speak for no other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean difference with its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:+.2f} \N{PLUS-MINUS SIGN} {self.high - self.mean:.2f}"


def paired(a: Sequence[float], b: Sequence[float]) -> Interval:
    """The mean of a - b over slices, with Student's interval.

    Raises:
        ValueError: fewer than two slices, or numbers of slices that differ.
    """
    from scipy.stats import t

    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"Paired differences need the same two or more slices, got {len(a)} and {len(b)}.")
    differences = [x - y for x, y in zip(a, b, strict=True)]
    n, mean = len(differences), sum(differences) / len(differences)
    deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1))
    half = float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)
