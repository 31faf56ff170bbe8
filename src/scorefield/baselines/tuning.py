"""Tuning of a baseline with one parameter by an oracle: the value of highest PSNR, given the true image.

For a real scan the true image is unknown, so this is an upper bound for the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from scorefield.errors import InputError
from scorefield.metrics import peak_of, psnr

STRENGTHS = tuple(10 ** (k / 6) for k in range(-9, 7))  # six a decade, from 0.03 to 10, in units of the noise
REFINEMENTS = 8  # steps of Brent's method between the neighbors of the best value


@dataclass(frozen=True)
class Tuned:
    """The best result of a method.

    Attributes:
        image: the reconstruction (C, *spatial) of highest PSNR.
        parameter: the parameter of that reconstruction.
        psnr: its PSNR in dB, relative to ``peak``.
        peak: the maximum of ``|truth|``.
        interior: whether the grid has worse parameters on both sides of the best.
    """

    image: Tensor
    parameter: float
    psnr: float
    peak: float
    interior: bool


def tune(
    reconstruct: Callable[[float], Tensor],
    truth: Tensor,
    parameters: Sequence[float] = STRENGTHS,
    *,
    extensions: int = 0,
) -> Tuned:
    """Find the parameter of highest PSNR on a grid, then by a search between the neighbors of the best.

    Args:
        reconstruct: a function from a parameter to the image (C, *spatial), such as
            ``partial(non_local_means, measurement)``.
        truth: the true image; used for the choice of the parameter only.
        parameters: the grid, ascending and positive.
        extensions: largest number of values that are added to the grid, in its last ratio, while the best is at its
            edge.

    Raises:
        InputError: a grid of fewer than three ascending positive values.
    """
    grid = tuple(parameters)
    if len(grid) < 3 or not grid[0] > 0 or any(a >= b for a, b in pairwise(grid)):
        raise InputError("Tuning needs a grid of at least three ascending positive values.")
    peak, trials = peak_of(truth), dict[float, tuple[float, Tensor]]()

    def loss(parameter: float) -> float:
        image = reconstruct(parameter)
        trials[parameter] = (psnr(image, truth, peak=peak), image)
        return -trials[parameter][0]

    for value in grid:
        loss(value)
    values, best = _rank(trials)
    for _ in range(extensions):
        if 0 < best < len(values) - 1:
            break
        loss(values[best] ** 2 / values[1 if best == 0 else -2])
        values, best = _rank(trials)
    interior = 0 < best < len(values) - 1
    if interior:
        from scipy.optimize import minimize_scalar

        bounds = (math.log(values[best - 1]), math.log(values[best + 1]))
        options = {"maxiter": REFINEMENTS}
        minimize_scalar(lambda place: loss(math.exp(place)), bounds=bounds, method="bounded", options=options)
    parameter = max(trials, key=lambda value: trials[value][0])
    return Tuned(trials[parameter][1], parameter, trials[parameter][0], peak, interior)


def _rank(trials: dict[float, tuple[float, Tensor]]) -> tuple[list[float], int]:
    """The values of all trials, ascending, and the index of the best."""
    values = sorted(trials)
    return values, max(range(len(values)), key=lambda i: trials[values[i]][0])
