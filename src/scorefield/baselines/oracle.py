"""Total variation at its best: the weight of highest PSNR against the truth, which no real scan would tell.

A prior that beats this *oracle* beats total variation at any weight; one that beats a fixed weight may not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from scorefield.baselines.fidelity import Fidelity
from scorefield.baselines.tv import Iterate, solve, warn_unless_converged
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import peak_of, psnr

PER_DECADE = 4
DECADES = (-2, 1)  # around the noise that reaches the image; denoising is best at about half of it
EXTENSIONS = 6  # decades the grid may grow when the best weight is at its edge
GOLDEN = (math.sqrt(5) - 1) / 2
COARSE = 1e-2  # gap on the grid: moves PSNR by less than 0.1 dB, neighbors differ by more
COARSE_ITERATIONS = 150
REFINEMENTS = 8  # shrink the bracket of half a decade to a hundredth


@dataclass(frozen=True)
class TunedTotalVariation:
    """The best of total variation.

    Attributes:
        image: the reconstruction (C, *spatial) of highest PSNR.
        weight: its weight.
        psnr: its PSNR in dB, relative to ``peak``.
        peak: the maximum of ``|truth|``.
        weights: all weights tried, ascending.
        psnrs: their PSNR.
        interior: whether smaller and larger weights were tried and found worse.
    """

    image: Tensor
    weight: float
    psnr: float
    peak: float
    weights: tuple[float, ...]
    psnrs: tuple[float, ...]
    interior: bool


def tuned_total_variation(
    measurement: Measurement, truth: Tensor, *, iterations: int = 1000, tolerance: float = 1e-3
) -> TunedTotalVariation:
    """Total variation with the weight of highest PSNR: a logarithmic grid, then golden-section refinement.

    The grid has four weights a decade over three decades (13) around the noise's level in the image, grows
    while the best is at its edge, and all its weights are solved at once.

    Args:
        measurement: the scan.
        truth: the true image (C, *spatial); used for the choice of the weight only.
        iterations: most steps for each weight, see :func:`total_variation`.
        tolerance: relative gap at which each weight stops.

    Raises:
        InputError: a truth that is zero or shaped unlike the scan's images.
    """
    if tuple(truth.shape) != measurement.shape:
        raise InputError(f"The truth has shape {tuple(truth.shape)} but the scan's images {measurement.shape}.")
    fidelity = Fidelity(measurement)

    def reconstruct(weights: list[float], start: Iterate | None) -> Iterate:
        values = torch.tensor(weights, dtype=fidelity.rhs.real.dtype, device=fidelity.rhs.device)
        # the grid only brackets the weight: its small weights, the slowest, are far from the best
        if start is None:
            return solve(
                fidelity, values, iterations=min(iterations, COARSE_ITERATIONS), tolerance=max(tolerance, COARSE)
            )
        return solve(fidelity, values, start=start, iterations=iterations, tolerance=tolerance)

    search = _Search(truth, peak_of(truth), reconstruct)
    scale = fidelity.noise_in_image()
    low, high = (PER_DECADE * d for d in DECADES)
    search.add([scale * 10 ** (k / PER_DECADE) for k in range(low, high + 1)])
    for _ in range(EXTENSIONS):
        if search.interior:
            break
        factor = 0.1 if search.best == 0 else 10.0
        edge = search.weights[search.best]
        search.add([edge * factor ** (k / PER_DECADE) for k in range(1, PER_DECADE + 1)])
    interior = search.interior
    best = search.refine()
    i = search.weights.index(best)
    warn_unless_converged(fidelity, torch.tensor([best]).to(fidelity.rhs.real), search.states[i], tolerance)
    return TunedTotalVariation(
        search.states[i].x[0],
        search.weights[i],
        search.psnrs[i],
        search.peak,
        tuple(search.weights),
        tuple(search.psnrs),
        interior,
    )


@dataclass
class _Search:
    """Weights tried so far, ascending, with their solutions and PSNR."""

    truth: Tensor
    peak: float
    reconstruct: Callable[[list[float], Iterate | None], Iterate]
    weights: list[float] = field(default_factory=list)
    psnrs: list[float] = field(default_factory=list)
    states: list[Iterate] = field(default_factory=list)

    def add(self, weights: list[float], start: Iterate | None = None) -> None:
        """Solve for more weights, from ``start`` if given."""
        state = self.reconstruct(weights, start)
        for i, weight in enumerate(weights):
            one = Iterate(*(part[i : i + 1] for part in (state.x, state.z, state.u, state.rho)))
            self.weights.append(weight)
            self.states.append(one)
            self.psnrs.append(psnr(one.x[0], self.truth.to(one.x.device), peak=self.peak))
        order = sorted(range(len(self.weights)), key=self.weights.__getitem__)
        self.weights = [self.weights[i] for i in order]
        self.states = [self.states[i] for i in order]
        self.psnrs = [self.psnrs[i] for i in order]

    @property
    def best(self) -> int:
        return max(range(len(self.psnrs)), key=self.psnrs.__getitem__)

    @property
    def interior(self) -> bool:
        return 0 < self.best < len(self.weights) - 1

    def refine(self) -> float:
        """Golden-section search on log(weight) between the best one's neighbors: the best weight it tried."""
        i = self.best
        low = math.log(self.weights[max(i - 1, 0)])
        high = math.log(self.weights[min(i + 1, len(self.weights) - 1)])
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        tried = {point: self._try(point) for point in (left, right)}
        for _ in range(REFINEMENTS - 2):
            if tried[left] >= tried[right]:
                high, right = right, left
                left = high - GOLDEN * (high - low)
                tried[left] = self._try(left)
            else:
                low, left = left, right
                right = low + GOLDEN * (high - low)
                tried[right] = self._try(right)
        return math.exp(max(tried, key=tried.__getitem__))

    def _try(self, log_weight: float) -> float:
        weight, near = math.exp(log_weight), self.states[self.best]
        factor = weight / self.weights[self.best]  # the multiplier scales with the weight, and so keeps |p| <= w
        self.add([weight], replace(near, rho=near.rho * factor))
        return self.psnrs[self.weights.index(weight)]
