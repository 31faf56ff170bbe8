"""pULA: its step and the law that it leaves in closed form, the order of its bias, the walk on the Gaussian bench."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from benches import tb_g
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernels import PreconditionedLangevin
from scorefield.measurement import Measurement
from scorefield.noise import Gaussian as GaussianNoise
from scorefield.noise import PoissonEmission, Weighted, White
from scorefield.operators import Identity
from scorefield.sampling import sample
from scorefield.schedules import Geometric

BENCH = tb_g()
EYE = torch.eye(8, dtype=torch.float64)
STDS = torch.tensor([0.05, 0.1, 0.3, 1.0], dtype=torch.float64)
WHITE = White(0.1)
NOISES = {"white": (WHITE, torch.full((4,), 0.1).double()), "weighted": (Weighted(STDS), STDS)}
Moments = tuple[Tensor, Tensor]


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Level:
    """The textbook matrices of one level of TB-G, with data of the noise R = diag(std^2)."""

    sigma: float
    std: Tensor

    @property
    def gram(self) -> Tensor:
        return BENCH.matrix.T @ (BENCH.matrix / self.std[:, None] ** 2)

    @property
    def preconditioner(self) -> Tensor:
        return torch.linalg.inv(self.gram + EYE / self.sigma**2)

    @property
    def diffused(self) -> Tensor:
        return torch.linalg.inv(BENCH.prior.covariance + self.sigma**2 * EYE)

    @property
    def precision(self) -> Tensor:
        """Of the exact likelihood times the diffused prior."""
        return self.diffused + self.gram

    @property
    def mean(self) -> Tensor:
        data = BENCH.matrix.T @ (BENCH.measurement.y[0] / self.std**2)
        return torch.linalg.solve(self.precision, self.diffused @ BENCH.prior.mean + data)

    def law(self, rate: float) -> Tensor:
        """The covariance that the docstring of the module claims."""
        precision = self.precision
        return torch.linalg.inv(precision - rate / 2 * precision @ self.preconditioner @ precision)

    def step(self, moments: Moments, rate: float) -> Moments:
        forget = EYE - rate * self.preconditioner @ self.precision
        mean, covariance = moments
        return (
            self.mean + forget @ (mean - self.mean),
            forget @ covariance @ forget.T + 2 * rate * self.preconditioner,
        )


def worst(draws: Tensor, moments: Moments) -> float:
    """The largest error of a mean or of a covariance, in its standard errors."""
    n, (mean, covariance) = len(draws), moments
    variance = covariance.diag()
    error = ((covariance.square() + variance.outer(variance)) / n).sqrt()
    first = (draws.mean(0) - mean).abs() / (variance / n).sqrt()
    second = ((draws - mean).T @ (draws - mean) / n - covariance).abs() / error
    return float(torch.maximum(first.max(), second.max()))


def kernel(noise: GaussianNoise = WHITE, rate: float = 0.5, iterations: int = 10) -> PreconditionedLangevin:
    given = Measurement(BENCH.measurement.y, BENCH.measurement.operator, noise)
    return PreconditionedLangevin(given, rate, iterations)


def stepped(given: PreconditionedLangevin, x: Tensor, sigma: float, seed: int = 0) -> Tensor:
    level = torch.tensor(sigma, dtype=torch.float64)
    return given.step(BENCH.prior, given.start(x), level, level, g(seed)).x


def drift(noise: GaussianNoise, x: Tensor, sigma: float) -> Tensor:
    """The drift of a unit rate: the step is ``rate drift + sqrt(rate) noise`` with the same random numbers."""
    one, quarter = (stepped(kernel(noise, rate), x, sigma) - x for rate in (1.0, 0.25))
    return 2 * (one - 2 * quarter)


def recursion(noise: GaussianNoise, std: Tensor, sigma: float, rate: float) -> Tensor:
    """The stationary covariance by iterating the moments of the kernel's own step."""
    x = torch.zeros(9, 8, dtype=torch.float64)
    x[1:] = EYE
    moved = x + rate * drift(noise, x, sigma)
    forget, covariance = (moved[1:] - moved[0]).T, torch.zeros(8, 8, dtype=torch.float64)
    power, added = forget, 2 * rate * Level(sigma, std).preconditioner
    for _ in range(40):  # the sum of 2^40 terms of F^i N F^iT by doubling
        covariance, power, added = added, power @ power, added + power @ added @ power.T
    return covariance


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("sigma", [0.03, 0.5, 10.0])
def test_the_drift_is_the_preconditioned_score_of_likelihood_and_diffused_prior(name, sigma):
    noise, std = NOISES[name]
    level, x = Level(sigma, std), 2 * torch.randn(3, 8, generator=g(1), dtype=torch.float64)
    expected = (level.mean - x) @ level.precision @ level.preconditioner
    assert torch.allclose(drift(noise, x, sigma), expected, rtol=1e-7, atol=1e-9)
    assert float(drift(noise, level.mean[None], sigma).abs().max()) < 1e-8  # so the mean is exact


@pytest.mark.parametrize("name", NOISES)
def test_the_noise_of_a_step_has_the_covariance_of_the_preconditioner(name):
    noise, std = NOISES[name]
    level = Level(0.4, std)
    moved = stepped(kernel(noise), level.mean.expand(20_000, 8), 0.4)  # no drift at the mean
    assert worst(moved, (level.mean, level.preconditioner)) < 5


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("sigma", [0.03, 0.5, 10.0])
@pytest.mark.parametrize("rate", [0.1, 0.5, 1.9])
def test_the_stationary_covariance_is_the_closed_form(name, sigma, rate):
    noise, std = NOISES[name]
    expected = Level(sigma, std).law(rate)
    assert torch.allclose(recursion(noise, std, sigma, rate), expected, rtol=1e-6, atol=1e-8 * float(expected.max()))


def test_the_bias_is_half_the_rate_times_the_preconditioner():
    noise, std = NOISES["weighted"]
    level = Level(0.3, std)
    target = torch.linalg.inv(level.precision)
    excess = [(recursion(noise, std, 0.3, rate) - target) / rate for rate in (0.02, 0.01)]
    error = [float((e - level.preconditioner / 2).norm()) for e in excess]
    assert error[1] < 0.01 * float(level.preconditioner.norm())
    assert error[0] / error[1] == pytest.approx(2, rel=0.05)  # of first order in the rate


def test_where_data_decide_the_variance_is_four_thirds_of_the_right_one():
    level = Level(2.0, torch.full((4,), 1e-3).double())
    _, _, rows = torch.linalg.svd(BENCH.matrix)
    measured = rows[:4]
    ratio = (measured @ level.law(0.5) @ measured.T).trace() / (
        measured @ torch.linalg.inv(level.precision) @ measured.T
    ).trace()
    assert float(ratio) == pytest.approx(4 / 3, rel=1e-3)


def test_its_law_is_left_by_a_chain():
    n, level = 4000, Level(0.5, NOISES["white"][1])
    law = level.law(0.5)
    x = level.mean + torch.randn(n, 8, generator=g(3), dtype=torch.float64) @ torch.linalg.cholesky(law).T
    for seed in range(11, 16):  # not the numbers of the start
        x = stepped(kernel(), x, 0.5, seed)
    assert worst(x, (level.mean, law)) < 5
    assert worst(x, (level.mean, torch.linalg.inv(level.precision))) > 10


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_the_published_walk_on_the_gaussian_bench(rate):
    """100 levels that fall by 1000, one step each: the draws have the moments of the recursion, whatever the start."""
    sigmas = Geometric(0.01, 10.0).grid(100)
    draws = sample(BENCH.prior, kernel(rate=rate), sigmas, n=500, seed=0, like=EYE[0]).draws
    moments = BENCH.prior.mean, BENCH.prior.covariance + 100 * EYE
    for sigma in sigmas[:-1].tolist():
        moments = Level(sigma, NOISES["white"][1]).step(moments, rate)
    assert worst(draws, moments) < 5


def test_ten_iterations_solve_what_has_four_data():
    x = torch.randn(3, 8, generator=g(1), dtype=torch.float64)
    ten, many, one = (stepped(kernel(iterations=k), x, 0.5) for k in (10, 1000, 1))
    assert torch.allclose(ten, many, rtol=1e-9)
    assert not torch.allclose(one, many, rtol=1e-2)


def test_what_it_refuses():
    given = BENCH.measurement
    for rate in (0.0, 2.0):
        with pytest.raises(InputError, match="rate between 0 and 2"):
            PreconditionedLangevin(given, rate)
    with pytest.raises(InputError, match="at least 1 iteration"):
        PreconditionedLangevin(given, iterations=0)
    counts = Measurement(torch.ones(1, 8).double(), Identity((8,)), PoissonEmission(2.0))
    with pytest.raises(InputError, match="no fixed noise variance"):
        stepped(PreconditionedLangevin(counts), torch.ones(1, 8).double(), 0.5)
