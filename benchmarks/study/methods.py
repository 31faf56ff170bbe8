"""The methods: each makes an image, or draws, of a scan, and has one number that is chosen on the tuning slice.

For learned priors and BM3D it is the noise level that they get, relative to the true one (for BM3D with scans: the last
level of plug and play, relative to the noise that reaches a pixel); for total variation it is the weight, relative to
the noise in the back-projected data.  All have the same kind of grid (:mod:`.grid`), about a center of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from scorefield.baselines import BM3D, filtered_back_projection, plug_and_play, zero_filled
from scorefield.baselines.fidelity import Fidelity
from scorefield.baselines.tv import solve
from scorefield.metrics import peak_of, psnr
from scorefield.operators import Identity, Projector
from scorefield.prior import Prior
from scorefield.reconstruction.pipeline import reconstruct

from .grid import Grid
from .tasks import Given

LEVELS = Grid()  # of noise, relative to the true one
WEIGHTS = Grid(0.4)
ITERATIONS = 150  # of total variation: later ones move the PSNR by hundredths


class Method(ABC):
    """A way to an image."""

    grid: ClassVar[Grid | None] = None  # of its number; None for methods without one

    @abstractmethod
    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        """``n`` draws (n, 1, H, W), or one image (1, 1, H, W)."""


def is_denoising(given: Given) -> bool:
    """Whether the scan is the image itself."""
    return isinstance(given.measurement.operator, Identity)


@dataclass
class Learned(Method):
    """A trained prior: one evaluation for denoising, ``reconstruct`` with its default for scans.

    Args:
        prior: trained, with its card.
        tilings: evaluations averaged for one denoised image, of a prior with a coin.
    """

    grid: ClassVar[Grid | None] = LEVELS

    prior: Prior
    tilings: int = 1

    @torch.no_grad()
    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        scan = given.with_strength(strength)
        if not is_denoising(given):
            return reconstruct(self.prior, scan, n=n, seed=0).draws
        generator = torch.Generator().manual_seed(0)
        level = torch.tensor(given.noise * strength)
        found = [self.prior.draw(generator).denoise(scan.y, level) for _ in range(self.tilings)]
        return torch.stack(found).mean(0)


def variation(given: Given, strength: float) -> Tensor:
    """The total-variation image (1, 1, H, W)."""
    fidelity = Fidelity(given.measurement)
    weights = fidelity.noise_in_image() * torch.tensor([strength])
    return solve(fidelity, weights, iterations=ITERATIONS).x.real


@dataclass
class Variation(Method):
    """Total variation."""

    grid: ClassVar[Grid | None] = WEIGHTS

    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        del n
        return variation(given, strength)


@dataclass
class BestVariation(Method):
    """Total variation with the best weight for each slice, chosen by the truth: a bound, not a method."""

    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        del strength, n
        peak = peak_of(given.truth)
        scores = WEIGHTS.search(lambda weight: psnr(variation(given, weight)[0], given.truth, peak=peak))
        return variation(given, WEIGHTS.best(scores))


@dataclass
class BlockMatching(Method):
    """BM3D for denoising, plug and play with BM3D for scans."""

    grid: ClassVar[Grid | None] = LEVELS

    filter: BM3D = field(default_factory=BM3D)

    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        del n
        if is_denoising(given):
            return self.filter(given.measurement.y, strength * given.noise)
        fidelity = Fidelity(given.measurement)
        scale = fidelity.variance / fidelity.noise_in_image()  # what the noise of a pixel is if all others are known
        return plug_and_play(given.measurement, self.filter, strength * scale)[None]


@dataclass
class Direct(Method):
    """The noisy image, zero filling, or filtered back-projection."""

    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        measurement = given.measurement
        direct = filtered_back_projection if isinstance(measurement.operator, Projector) else zero_filled
        return (measurement.y if is_denoising(given) else direct(measurement)[None]).real


BASELINES: dict[str, Method] = {
    "direct": Direct(),
    "tv": Variation(),
    "tv-oracle": BestVariation(),
    "bm3d": BlockMatching(),
}
