"""Objectives, and priors with weights to try them on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield.objectives import (
    Denoising,
    Explicit,
    Hutchinson,
    Implicit,
    NoiseConditional,
    Normal,
    Objective,
    Regularized,
    Sliced,
    Sphere,
)
from scorefield.prior import Denoiser, Density, Prior, Score, level
from scorefield.priors import DiagonalGaussian, GaussianMixture, Network, Unitless
from scorefield.schedules import LogNormal
from support import normal

SIGMA = 0.6


def standard(*event: int, dtype: torch.dtype = torch.float64) -> DiagonalGaussian:
    return DiagonalGaussian(torch.zeros(event, dtype=dtype), torch.tensor(2.0).double())


def objectives(target: Prior) -> dict[str, Objective]:
    return {
        "explicit": Explicit(target, sigma=SIGMA),
        "implicit": Implicit(SIGMA),
        "hutchinson": Implicit(SIGMA, Hutchinson(Sphere())),
        "regularized": Regularized(0.3, SIGMA),
        "sliced": Sliced(sigma=SIGMA),
        "sliced normal": Sliced(Normal(), SIGMA),
        "denoising": Denoising(SIGMA),
        "noise conditional": NoiseConditional(LogNormal(), lambda s: 1 / (1 + s)),
    }


NAMES = list(objectives(standard(1)))


class Small(nn.Module):
    """A smooth network on images; its derivatives do not vanish."""

    def __init__(self, channels: int = 2):
        super().__init__()
        self.first, self.last = nn.Conv2d(channels, 4, 3, padding=1), nn.Conv2d(4, channels, 3, padding=1)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.last(nn.functional.silu(self.first(x) + noise.reshape(-1, 1, 1, 1)))


class Energy(Density):
    """A log-density with parameters: its score is a gradient, and needs a graph to be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Softplus(), nn.Conv2d(3, 1, 3, padding=1)).double()

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        return -self.net(x).flatten(1).square().sum(1) / (1 + level(sigma, x).flatten().square())


def network() -> Network:
    return Network(Small().double(), Unitless())


IMAGES = (5, 2, 3, 4)
SUBJECTS = {
    "vectors": lambda: (
        GaussianMixture(normal(3, 4, seed=7), torch.tensor([0.5, 1.0, 2.0]), torch.ones(3) / 3),
        (6, 4),
    ),
    "images": lambda: (network(), IMAGES),
    "energy": lambda: (Energy(), IMAGES),
}


def subject(kind: str) -> tuple[Prior, Tensor, Prior]:
    """A prior, clean data for it, and another prior of the same events."""
    prior, shape = SUBJECTS[kind]()
    return prior, normal(*shape, seed=1), standard(*shape[1:])


class Linear(Score):
    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return -self.rate * x


class Nothing(Denoiser):
    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return x
