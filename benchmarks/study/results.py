"""The results that are kept beside this file, by method, task and shift."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .grid import at_edge, is_coarse
from .statistics import Interval, paired


class Results:
    """What ``results.json`` holds.

    Args:
        plain: its content.
    """

    def __init__(self, plain: Mapping[str, Any]):
        self.work, self.steps = plain["work"], plain["steps"]
        self._cells = {(cell["method"], cell["task"], cell["shift"]): cell for cell in plain["cells"]}

    def has(self, method: str, task: str, shift: str = "none") -> bool:
        """Whether a cell was measured."""
        return (method, task, shift) in self._cells

    def sampled(self, method: str, task: str, shift: str = "none") -> bool:
        """Whether there are draws, and so intervals, and not one image only."""
        return self._cells[method, task, shift]["draws"] > 1

    def slices(self, method: str, task: str, shift: str, key: str = "psnr") -> list[float]:
        """One score of each slice; ``limit`` is the PSNR that the mean of endlessly many draws is expected to have."""
        rows = self._cells[method, task, shift]["slices"]
        if key == "limit":
            draws = self._cells[method, task, shift]["draws"]
            return [_limit(row, draws) for row in rows]
        return [row[key] for row in rows]

    def mean(self, method: str, task: str, shift: str = "none", key: str = "psnr") -> float:
        """The mean score over the slices."""
        values = self.slices(method, task, shift, key)
        return sum(values) / len(values)

    def strength(self, method: str, task: str, shift: str = "none") -> float:
        """The noise level that the method gets, after tuning."""
        return self._cells[method, task, shift]["strength"]

    def at_edge(self) -> list[tuple[str, str, str]]:
        """Method, task and shift of the cells whose strength is the smallest or the largest that was tried."""
        return [key for key, cell in self._cells.items() if at_edge(cell["strength"], _values(cell))]

    def coarse(self) -> list[tuple[str, str, str]]:
        """Method, task and shift of the cells that were tuned on a coarser grid than today's."""
        return [key for key, cell in self._cells.items() if is_coarse(_values(cell))]

    def honesty(self, method: str, task: str, shift: str = "none") -> Interval:
        """Coverage of the 90 % intervals over that of exact draws, in per cent."""
        covered, exact = (self.slices(method, task, shift, key) for key in ("coverage", "expected"))
        return paired([100 * value for value in covered], [100 * value for value in exact])

    def difference(self, a: str, b: str, task: str, shift: str = "none", key: str = "psnr") -> Interval:
        """a - b, paired over the slices."""
        return paired(self.slices(a, task, shift, key), self.slices(b, task, shift, key))


def _values(cell: Mapping[str, Any]) -> list[float]:
    """The strengths that were tried."""
    return [float(value) for value in cell["tried"]]


def _limit(row: Mapping[str, float], draws: int) -> float:
    """The error of a mean of n draws is that of the posterior mean plus 1/n of the draws' variance."""
    if "error" not in row:
        return row["psnr"]
    gone = 1 - row["spread"] ** 2 / draws / row["error"] ** 2
    return row["psnr"] - 10 * math.log10(max(gone, 0.05))
