"""Any baseline with one parameter at its best: the value of highest PSNR against the truth, unknown of real scans."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from scorefield.errors import InputError
from scorefield.metrics import peak_of, psnr

STRENGTHS = tuple(10 ** (k / 6) for k in range(-9, 7))  # six a decade, from 0.03 to 10: in units of the noise
REFINEMENTS = 8  # Brent's method between the best value's neighbors


@dataclass(frozen=True)
class Tuned:
    """The best of a method.

    Attributes:
        image: the reconstruction (C, *spatial) of highest PSNR.
        parameter: its parameter.
        psnr: its PSNR in dB, relative to ``peak``.
        peak: the maximum of ``|truth|``.
        interior: whether smaller and larger parameters were tried and found worse.
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
    """The parameter of highest PSNR: a grid, then a search between the neighbors of its best.

    Args:
        reconstruct: the image (C, *spatial) of a parameter, such as ``partial(non_local_means, measurement)``.
        truth: the true image; used for the choice of the parameter only.
        parameters: the grid, ascending and positive.
        extensions: how many values the grid may grow by, in its last ratio, while the best is at its edge.

    Raises:
        InputError: a grid of fewer than three ascending positive values.
    """
    grid = tuple(parameters)
    if len(grid) < 3 or not grid[0] > 0 or any(a >= b for a, b in pairwise(grid)):
        raise InputError("Tuning needs a grid of at least three ascending positive values.")
    peak, tried = peak_of(truth), dict[float, tuple[float, Tensor]]()

    def loss(parameter: float) -> float:
        image = reconstruct(parameter)
        tried[parameter] = (psnr(image, truth, peak=peak), image)
        return -tried[parameter][0]

    for value in grid:
        loss(value)
    values, best = _ranked(tried)
    for _ in range(extensions):
        if 0 < best < len(values) - 1:
            break
        loss(values[best] ** 2 / values[1 if best == 0 else -2])
        values, best = _ranked(tried)
    interior = 0 < best < len(values) - 1
    if interior:
        from scipy.optimize import minimize_scalar

        bounds = (math.log(values[best - 1]), math.log(values[best + 1]))
        options = {"maxiter": REFINEMENTS}
        minimize_scalar(lambda place: loss(math.exp(place)), bounds=bounds, method="bounded", options=options)
    parameter = max(tried, key=lambda value: tried[value][0])
    return Tuned(tried[parameter][1], parameter, tried[parameter][0], peak, interior)


def _ranked(tried: dict[float, tuple[float, Tensor]]) -> tuple[list[float], int]:
    """The values tried, ascending, and which of them is the best."""
    values = sorted(tried)
    return values, max(range(len(values)), key=lambda i: tried[values[i]][0])
