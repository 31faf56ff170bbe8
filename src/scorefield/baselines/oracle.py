"""Total variation with the weight of an oracle: the weight of highest PSNR, given the true image.

A prior that is better than this is better than total variation with any weight.  For a real scan the true image is
unknown.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from scorefield.arguments import as_tensor
from scorefield.baselines.fidelity import Fidelity
from scorefield.baselines.tuning import Tuned, tune
from scorefield.baselines.tv import Iterate, solve, warn_unless_converged
from scorefield.errors import InputError
from scorefield.measurement import Measurement, as_measurement
from scorefield.metrics import psnr

PER_DECADE = 4
DECADES = (-2, 1)  # around the noise in the image; for denoising about half of it is best
EXTENSIONS = 24  # weights that may be added to the grid while the best is at its edge
COARSE = 1e-2  # gap on the grid: it changes PSNR by less than 0.1 dB, less than the step to a neighbor
COARSE_ITERATIONS = 150


def tuned_total_variation(
    measurement: Measurement, truth: Tensor, *, iterations: int = 1000, tolerance: float = 1e-3
) -> Tuned:
    """Total variation with the weight of highest PSNR, by a logarithmic grid and a search.

    The grid has four weights a decade over three decades (13) around the noise level in the image.  All are solved at
    once.  More weights are added while the best is at the edge of the grid; the search is between its neighbors.

    Args:
        measurement: the scan.
        truth: the true image (C, *spatial); used for the choice of the weight only.
        iterations: largest number of steps for each weight, see :func:`total_variation`.
        tolerance: relative gap at which each weight stops.

    Returns:
        The best image and, as its ``parameter``, the weight.

    Raises:
        InputError: a truth that is zero, or of another shape than the images of the scan.
    """
    measurement, truth = as_measurement(measurement), as_tensor(truth, "truth")
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
    """Solutions of total variation; each starts from the solution of the nearest weight so far."""

    def __init__(self, fidelity: Fidelity, iterations: int, tolerance: float):
        self.fidelity, self.iterations, self.tolerance = fidelity, iterations, tolerance
        self._iterates: dict[float, Iterate] = {}

    def bracket(self, weights: list[float]) -> None:
        """Solve for a grid of weights at once and roughly; small weights take longest and are far from the best."""
        most, tolerance = min(self.iterations, COARSE_ITERATIONS), max(self.tolerance, COARSE)
        state = solve(self.fidelity, self._tensor(weights), iterations=most, tolerance=tolerance)
        for i, weight in enumerate(weights):
            self._iterates[weight] = Iterate(*(part[i : i + 1] for part in (state.x, state.z, state.u, state.rho)))

    def image(self, weight: float) -> Tensor:
        """The image (C, *spatial) of a weight: a rough one for the grid, otherwise to the tolerance."""
        if weight not in self._iterates:
            self._solve(weight)
        return self._iterates[weight].x[0]

    def final(self, weight: float) -> Tensor:
        """The image of a weight to the tolerance; warn (RuntimeWarning) if the iterations do not suffice."""
        self._solve(weight)
        warn_unless_converged(self.fidelity, self._tensor([weight]), self._iterates[weight], self.tolerance)
        return self._iterates[weight].x[0]

    def _solve(self, weight: float) -> None:
        near = min(self._iterates, key=lambda other: abs(math.log(other / weight)))
        # the multiplier is scaled with the weight, so that |p| <= w still holds
        start = replace(self._iterates[near], rho=self._iterates[near].rho * (weight / near))
        self._iterates[weight] = solve(
            self.fidelity, self._tensor([weight]), start=start, iterations=self.iterations, tolerance=self.tolerance
        )

    def _tensor(self, weights: list[float]) -> Tensor:
        return torch.tensor(weights, dtype=self.fidelity.rhs.real.dtype, device=self.fidelity.rhs.device)
