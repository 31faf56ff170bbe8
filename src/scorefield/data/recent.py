"""What was used last, kept within a budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The things made last, the least recently used let go first; the last one is always kept.

    Args:
        budget: what all of them together may weigh.
        weight: of one.
    """

    def __init__(self, budget: float, weight: Callable[[T], float]):
        self.budget, self.weight = budget, weight
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._total = 0.0

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of that ``key``, made if it is not there."""
        if key not in self._kept:
            self._kept[key] = made = make()
            self._total += self.weight(made)
            while len(self._kept) > 1 and self._total > self.budget:
                self._total -= self.weight(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(key)
        return self._kept[key]
