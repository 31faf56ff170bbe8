"""The methods: each makes an image, or draws, of a scan, and has one number that is chosen on the tuning slice.

For learned priors and BM3D it is the noise level that they get, relative to the true one (for BM3D with scans: the last
level of plug and play, relative to the noise that reaches a pixel); for total variation it is the weight, relative to
the noise in the back-projected data.  Six values each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.baselines import BM3D, filtered_back_projection, plug_and_play, zero_filled
from scorefield.baselines.fidelity import Fidelity
from scorefield.baselines.tv import solve
from scorefield.operators import Identity, Projector
from scorefield.prior import Prior
from scorefield.reconstruction.pipeline import reconstruct

from .tasks import Given

NOISES = (0.6, 0.77, 1.0, 1.3, 1.7, 2.2)
WEIGHTS = (0.1, 0.2, 0.4, 0.6, 0.9, 1.3)
ITERATIONS = 150  # of total variation: later ones move the PSNR by hundredths
LEVELS = tuple(10 ** (k / 2) for k in range(-1, 5))


class Method(ABC):
    """A way to an image."""

    def strengths(self, given: Given) -> tuple[float, ...]:
        """What its number may be for such scans; one value for methods without a number."""
        del given
        return (1.0,)

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

    prior: Prior
    tilings: int = 1

    def strengths(self, given: Given) -> tuple[float, ...]:
        return NOISES

    @torch.no_grad()
    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        scan = given.with_strength(strength)
        if not is_denoising(given):
            return reconstruct(self.prior, scan, n=n, seed=0).draws
        generator = torch.Generator().manual_seed(0)
        level = scan.noise.variance.sqrt().float()
        found = [self.prior.draw(generator).denoise(scan.y, level) for _ in range(self.tilings)]
        return torch.stack(found).mean(0)


def variation(given: Given, strengths: tuple[float, ...]) -> Tensor:
    """Total-variation images (B, 1, H, W) for each strength, all solved at once."""
    fidelity = Fidelity(given.measurement)
    weights = fidelity.noise_in_image() * torch.tensor(strengths)
    return solve(fidelity, weights, iterations=ITERATIONS).x.real


@dataclass
class Variation(Method):
    """Total variation."""

    def strengths(self, given: Given) -> tuple[float, ...]:
        return WEIGHTS

    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        del n
        return variation(given, (strength,))


@dataclass
class BestVariation(Method):
    """Total variation with the best of the six weights for each slice, chosen by the truth: a bound, not a method."""

    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        del strength, n
        images = variation(given, WEIGHTS)
        return images[(images - given.truth).square().flatten(1).mean(1).argmin()][None]


@dataclass
class BlockMatching(Method):
    """BM3D for denoising, plug and play with BM3D for scans."""

    filter: BM3D = field(default_factory=BM3D)

    def strengths(self, given: Given) -> tuple[float, ...]:
        return NOISES if is_denoising(given) else LEVELS

    def draws(self, given: Given, strength: float, n: int) -> Tensor:
        del n
        if is_denoising(given):
            std = float(given.measurement.noise.variance.sqrt())
            return self.filter(given.measurement.y, strength * std)
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
