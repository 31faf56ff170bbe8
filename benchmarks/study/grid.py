r"""The one grid of every method's number: :math:`c\,1.3^k` about a center c, five values at first.

More values follow on the side of the best one until it has a worse one on each side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise

RATIO = 1.3
FIRST = 2  # steps on each side of the center before any extension
DIGITS = 4  # decimals of a score that count; equal scores are a tie, and the value nearest to the center is taken


@dataclass(frozen=True)
class Grid:
    """Values on both sides of a center; a search tries more of them while the best one has no neighbor on one side.

    Args:
        center: the value that needs no tuning, such as the true noise level.
        most: steps to which a search goes on each side; a score that still rises there stays at the edge
            (:func:`at_edge`).
    """

    center: float = 1.0
    most: int = 12

    def value(self, k: int) -> float:
        """The value k steps above the center, to two digits."""
        return float(f"{self.center * RATIO**k:.2g}")

    def search(self, score: Callable[[float], float]) -> dict[float, float]:
        """The score of each value that was tried, in the order of the values."""
        low, high = -FIRST, FIRST
        scores = {k: score(self.value(k)) for k in range(low, high + 1)}
        while True:
            best = max(scores, key=lambda k: (round(scores[k], DIGITS), -abs(k)))
            if best == low > -self.most:
                low -= 1
                scores[low] = score(self.value(low))
            elif best == high < self.most:
                high += 1
                scores[high] = score(self.value(high))
            else:
                return {self.value(k): scores[k] for k in sorted(scores)}

    def best(self, scores: Mapping[float, float]) -> float:
        """The value of the highest score; of equal ones that nearest to the center."""
        return max(scores, key=lambda v: (round(scores[v], DIGITS), -abs(math.log(v / self.center))))


def is_coarse(values: Collection[float]) -> bool:
    """Whether two neighbors are further apart than on a :class:`Grid`, as they were before it."""
    return any(b > 1.15 * RATIO * a for a, b in pairwise(sorted(values)))  # values have two digits


def at_edge(best: float, values: Collection[float]) -> bool:
    """Whether the best value is the smallest or the largest of those that were tried."""
    return len(values) > 1 and (best <= min(values) or best >= max(values))
