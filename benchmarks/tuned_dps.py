"""DPS with what it never has in practice: a weight that was tuned against the truth."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernels import Ancestral
from scorefield.measurement import Measurement
from scorefield.metrics import psnr
from scorefield.posteriors import DPS
from scorefield.prior import Prior
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct


@dataclass(frozen=True)
class Weighted:
    """DPS with one ``weight`` for all levels, in image units squared over data units."""

    weight: float

    def __call__(self, prior: Prior, measurement: Measurement) -> Prior:
        return DPS(prior, measurement, weight=self.weight * measurement.gain.item() / prior.extent)


def dps(weight: float, steps: int) -> Method:
    """DPS as published: ancestral steps."""
    return Method(posterior=Weighted(weight), kernel=Ancestral(1.0), steps=steps)


def tuned_dps(
    prior: Prior, given: Measurement, truth: Tensor, steps: int, peak: float
) -> tuple[float, dict[float, float]]:
    """The weight of highest PSNR of one draw, coarse with steps / 10, then fine with all of them."""
    tried: dict[float, float] = {}

    def score(weight: float, used: int) -> float:
        try:
            drawn = reconstruct(prior, given, n=1, seed=1, method=dps(weight, used))
            return psnr(drawn.draws[0], truth, peak=peak)
        except InputError:  # diverged
            return float("-inf")

    norm = float(given.y.abs().square().sum().sqrt())
    unit = float(truth.square().sum()) / norm  # a weight of this size moves the image by about itself
    coarse = [unit * 10.0**k for k in (-2, -1.5, -1, -0.5, 0, 0.5, 1)]
    best = max(coarse, key=lambda w: score(w, steps // 10))
    for weight in (best / 2, best, 2 * best):
        tried[weight] = score(weight, steps)
    while (best := max(tried, key=lambda w: tried[w])) in (min(tried), max(tried)):  # the peak may lie beyond
        weight = best / 2 if best == min(tried) else 2 * best
        tried[weight] = score(weight, steps)
    return best, tried
