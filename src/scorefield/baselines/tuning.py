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
    peak, found = peak_of(truth), dict[float, tuple[float, Tensor]]()

    def loss(log_parameter: float) -> float:
        image = reconstruct(math.exp(log_parameter))
        found[log_parameter] = (psnr(image, truth, peak=peak), image)
        return -found[log_parameter][0]

    for value in grid:
        loss(math.log(value))
    places, best = _ranked(found)
    for _ in range(extensions):
        if 0 < best < len(places) - 1:
            break
        loss(2 * places[best] - places[1 if best == 0 else -2])
        places, best = _ranked(found)
    interior = 0 < best < len(places) - 1
    if interior:
        from scipy.optimize import minimize_scalar

        bounds = (places[best - 1], places[best + 1])
        minimize_scalar(loss, bounds=bounds, method="bounded", options={"maxiter": REFINEMENTS})
    place = max(found, key=lambda key: found[key][0])
    return Tuned(found[place][1], math.exp(place), found[place][0], peak, interior)


def _ranked(found: dict[float, tuple[float, Tensor]]) -> tuple[list[float], int]:
    """The places tried, ascending, and which of them is the best."""
    places = sorted(found)
    return places, max(range(len(places)), key=lambda i: found[places[i]][0])
