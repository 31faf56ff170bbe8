"""Total variation at its best: the weight of highest PSNR against the truth, which no real scan would tell.

A prior that beats this *oracle* beats total variation at any weight; one that beats a fixed weight may not.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from scorefield.baselines.fidelity import Fidelity
from scorefield.baselines.tuning import Tuned, tune
from scorefield.baselines.tv import Iterate, solve, warn_unless_converged
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import psnr

PER_DECADE = 4
DECADES = (-2, 1)  # around the noise that reaches the image; denoising is best at about half of it
EXTENSIONS = 24  # weights by which the grid may grow when the best one is at its edge
COARSE = 1e-2  # gap on the grid: moves PSNR by less than 0.1 dB, neighbors differ by more
COARSE_ITERATIONS = 150


def tuned_total_variation(
    measurement: Measurement, truth: Tensor, *, iterations: int = 1000, tolerance: float = 1e-3
) -> Tuned:
    """Total variation with the weight of highest PSNR: a logarithmic grid, then a search between its best neighbors.

    The grid has four weights a decade over three decades (13) around the noise's level in the image, all solved at
    once, and grows while the best is at its edge.

    Args:
        measurement: the scan.
        truth: the true image (C, *spatial); used for the choice of the weight only.
        iterations: most steps for each weight, see :func:`total_variation`.
        tolerance: relative gap at which each weight stops.

    Returns:
        The best image and, as its ``parameter``, the weight.

    Raises:
        InputError: a truth that is zero or shaped unlike the scan's images.
    """
    if tuple(truth.shape) != measurement.shape:
        raise InputError(f"The truth has shape {tuple(truth.shape)} but the scan's images {measurement.shape}.")
    solutions = _Solutions(Fidelity(measurement), iterations, tolerance)
    scale = solutions.fidelity.noise_in_image()
    low, high = (PER_DECADE * d for d in DECADES)
    grid = [scale * 10 ** (k / PER_DECADE) for k in range(low, high + 1)]
    solutions.bracket(grid)
    best = tune(solutions.image, truth.to(solutions.fidelity.rhs.device), grid, extensions=EXTENSIONS)
    image = solutions.final(best.parameter)
    return replace(best, image=image, psnr=psnr(image, truth.to(image.device), peak=best.peak))


class _Solutions:
    """Total variation at any weight, each solution started from that of the nearest weight solved before."""

    def __init__(self, fidelity: Fidelity, iterations: int, tolerance: float):
        self.fidelity, self.iterations, self.tolerance = fidelity, iterations, tolerance
        self._iterates: dict[float, Iterate] = {}

    def bracket(self, weights: list[float]) -> None:
        """Solve for a grid of weights at once, roughly: the small ones, which take longest, are far from the best."""
        most, tolerance = min(self.iterations, COARSE_ITERATIONS), max(self.tolerance, COARSE)
        state = solve(self.fidelity, self._tensor(weights), iterations=most, tolerance=tolerance)
        for i, weight in enumerate(weights):
            self._iterates[weight] = Iterate(*(part[i : i + 1] for part in (state.x, state.z, state.u, state.rho)))

    def image(self, weight: float) -> Tensor:
        """The image (C, *spatial) of a weight, as it was solved for or else to the tolerance."""
        if weight not in self._iterates:
            self._solve(weight)
        return self._iterates[weight].x[0]

    def final(self, weight: float) -> Tensor:
        """The image of a weight to the tolerance; a RuntimeWarning if the iterations do not suffice."""
        self._solve(weight)
        warn_unless_converged(self.fidelity, self._tensor([weight]), self._iterates[weight], self.tolerance)
        return self._iterates[weight].x[0]

    def _solve(self, weight: float) -> None:
        near = min(self._iterates, key=lambda other: abs(math.log(other / weight)))
        # the multiplier scales with the weight, and so keeps |p| <= w
        start = replace(self._iterates[near], rho=self._iterates[near].rho * (weight / near))
        self._iterates[weight] = solve(
            self.fidelity, self._tensor([weight]), start=start, iterations=self.iterations, tolerance=self.tolerance
        )

    def _tensor(self, weights: list[float]) -> Tensor:
        return torch.tensor(weights, dtype=self.fidelity.rhs.real.dtype, device=self.fidelity.rhs.device)
