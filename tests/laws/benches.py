"""The closed-form benches: those of the library, and the tutorial's two 1-D densities.

Each is a function that returns float64 objects, so that every law and every sampler is measured on the same
problems.
"""

from __future__ import annotations

import torch

from scorefield.calibration.benches import GaussianBench, MixtureBench, mcg_mixture, tb_g, tb_m
from scorefield.priors.mixture import GaussianMixture

__all__ = ["GaussianBench", "MixtureBench", "PosteriorBench", "gamma", "mcg_mixture", "tb_1d", "tb_g", "tb_m"]

PosteriorBench = MixtureBench


def tb_1d() -> GaussianMixture:
    """TB-1D: the tutorial's mixture 0.4 N(3, 1) + 0.6 N(13, 3^2), over events of shape (1,)."""
    return GaussianMixture(
        torch.tensor([[3.0], [13.0]], dtype=torch.float64),
        torch.tensor([1.0, 9.0], dtype=torch.float64),
        torch.tensor([0.4, 0.6], dtype=torch.float64),
    )


def gamma() -> torch.distributions.Gamma:
    """TB-1D: the tutorial's Gamma(8, 1), mode 7 and mean 8."""
    return torch.distributions.Gamma(torch.tensor(8.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
