"""The closed-form benches: a Gaussian, a mixture, and the tutorial's two 1-D densities.

Each is a function that returns float64 objects, so that every law and every sampler is measured on the same
problems.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix
from scorefield.priors.gaussian import Gaussian
from scorefield.priors.mixture import GaussianMixture


@dataclass(frozen=True)
class GaussianBench:
    """TB-G: a Gaussian in 8 dimensions seen through 4 numbers, and the textbook posterior."""

    prior: Gaussian
    measurement: Measurement
    truth: Tensor  # (8,), the draw behind the data
    matrix: Tensor  # (4, 8)
    mean: Tensor  # (8,), of the posterior: m + K (y - A m)
    covariance: Tensor  # (8, 8), of the posterior: S - K A S


@dataclass(frozen=True)
class MixtureBench:
    """TB-M: three components in 2 dimensions, the first coordinate seen; Gaussians miss the weights."""

    prior: GaussianMixture
    measurement: Measurement
    weights: Tensor  # (3,), of the posterior


def tb_g(seed: int = 0) -> GaussianBench:
    """TB-G: eigenvalues 2 to 0.02 in a random basis, A iid N(0, 1/8), noise 0.1."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    basis = torch.linalg.qr(normal(8, 8)).Q
    spectrum = torch.logspace(0, -2, 8, dtype=torch.float64) * 2
    covariance, mean, matrix = basis @ spectrum.diag() @ basis.T, normal(8), normal(4, 8) / 8**0.5
    truth = mean + basis @ (spectrum.sqrt() * normal(8))
    y = matrix @ truth + 0.1 * normal(4)
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T + 0.01 * torch.eye(4).double())
    return GaussianBench(
        prior=Gaussian(mean, (covariance + covariance.T) / 2),
        measurement=Measurement(y, Matrix(matrix), White(0.1)),
        truth=truth,
        matrix=matrix,
        mean=mean + gain @ (y - matrix @ mean),
        covariance=covariance - gain @ matrix @ covariance,
    )


def tb_m() -> MixtureBench:
    """TB-M: weights (.3, .3, .4), variance 1/4, the first coordinate measured as 1 with noise 0.5."""
    prior = GaussianMixture(
        torch.tensor([[-2, -1.5], [1.5, 2], [2, -2]], dtype=torch.float64),
        torch.full((3,), 0.25, dtype=torch.float64),
        torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64),
    )
    operator = Matrix(torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    y = torch.ones(1, dtype=torch.float64)
    # w_k N(y; mu_k1, 1/4 + 1/4), with numbers so that no code under test is involved
    evidence = prior.weights * torch.exp(-((y - prior.means[:, 0]) ** 2) / (2 * 0.5))
    return MixtureBench(prior, Measurement(y, operator, White(0.5)), evidence / evidence.sum())


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
