"""DAPS: exact with the exact law of x0 given x, and the published approximation's error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from benches import GaussianBench, tb_g
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernels import DAPS, DecayingChain, Descent, Heun, Langevin, LikelihoodStep, MarkovChain, PerturbAndMap
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix
from scorefield.priors import DiagonalGaussian, Scaled
from scorefield.sampling import sample, walk
from scorefield.schedules import Karras
from scorefield.start import begin
from support import monte_carlo_floor, normal, relative_wasserstein

MEAN = Descent(Heun(), Karras(), 1)  # one step to 0: the denoised image


@dataclass(frozen=True)
class Conditional(LikelihoodStep):
    """Draws from N(center, V) N(y; A x, 0.01 I), V = (S^-1 + I/rho^2)^-1 the true spread of x0 given x."""

    bench: GaussianBench

    def draw(self, measurement: Measurement, center: Tensor, rho: Tensor, generator: torch.Generator) -> Tensor:
        matrix, prior = self.bench.matrix, self.bench.prior
        before = torch.linalg.inv(prior.covariance) + torch.eye(8) / rho**2
        covariance = torch.linalg.inv(before + matrix.T @ matrix / 0.01)
        mean = (center @ before + measurement.y @ matrix / 0.01) @ covariance
        white = torch.empty_like(center).normal_(generator=generator)
        return mean + white @ torch.linalg.cholesky(covariance).T


@dataclass(frozen=True)
class Center(LikelihoodStep):
    def draw(self, measurement: Measurement, center: Tensor, rho: Tensor, generator: torch.Generator) -> Tensor:
        return center


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def error(bench: GaussianBench, kernel: DAPS, n: int, steps: int = 200) -> float:
    sigmas = Karras(0.003, 60.0).grid(steps)
    x = begin(bench.prior, torch.empty(n, 8).double(), sigmas[0], g(1))
    *_, last = walk(bench.prior, kernel, x, sigmas, g(2))
    return relative_wasserstein(last.x, bench.mean, bench.covariance)


@pytest.mark.parametrize("seed", [0, 3])
def test_it_is_exact_with_the_exact_conditional(seed):
    """Methods E24: relative W2 below 0.05."""
    bench = tb_g(seed)
    assert monte_carlo_floor(bench.mean, bench.covariance, 4000) < 0.03
    assert error(bench, DAPS(bench.measurement, MEAN, Conditional(bench)), 4000) < 0.05


def test_the_published_approximation():
    """Methods E24: below 0.5 on TB-G with the end of the flow, much better with the mean, neither of them exact."""
    bench = tb_g(3)
    flow = error(bench, DAPS(bench.measurement, likelihood=PerturbAndMap()), 4000)
    mean = error(bench, DAPS(bench.measurement, MEAN, PerturbAndMap()), 4000)
    assert 0.2 < flow < 0.5
    assert 0.04 < mean < 0.11
    # and on an instance that mixes worse
    bench = tb_g(0)
    flow = error(bench, DAPS(bench.measurement, likelihood=PerturbAndMap()), 2000)
    assert error(bench, DAPS(bench.measurement, MEAN, PerturbAndMap()), 2000) < flow - 0.05


def test_langevin_steps_do_as_well_as_exact_ones():
    bench, short = tb_g(3), MarkovChain(Langevin(0.2), 40)
    exact = error(bench, DAPS(bench.measurement, MEAN, PerturbAndMap()), 1000, steps=60)
    assert error(bench, DAPS(bench.measurement, MEAN, short), 1000, steps=60) < exact + 0.1


def test_the_rate_falls_as_published():
    """In step i of N of the paper's walk the rate is 1 + i/(N - 1) (0.01 - 1): the code's multiplier."""
    levels, chain, s = Karras(0.1, 100.0).grid(200)[:-1], DecayingChain(), torch.ones(()).double()

    def rate(level: Tensor | float) -> float:
        step = chain.at(torch.as_tensor(level))
        assert step.steps == 100
        return step.kernel.size(s).item()  # pyright: ignore[reportAttributeAccessIssue]

    for i in (0, 1, 57, 198, 199):
        assert rate(levels[i]) == pytest.approx(1 + i / 199 * (0.01 - 1), abs=1e-9)
    assert (rate(300.0), rate(0.001)) == (1.0, pytest.approx(0.01))  # outside, the ends
    assert MarkovChain().at(levels[0]) == MarkovChain()  # others are the same at each level
    for bad in ({"rate": 0.0}, {"last": 0.0}, {"last": 1.5}, {"steps": 0}):
        with pytest.raises(InputError):
            DecayingChain(**bad)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("amplitude", [1.0, 2.5])
def test_it_is_the_published_loop(amplitude):
    """Euler steps to the end of the flow, then 100 steps of Langevin in the paper's units, h = 1e-4 and its decay.

    The operator keeps coordinates and its data have noise 0.01, so the step of the chain is 1e-4 (1 + 1e-4/sigma^2)^-1.
    """
    prior = DiagonalGaussian(torch.full((3,), 0.2).double(), torch.tensor([0.3, 0.5, 0.1]).double())
    matrix, u = torch.eye(3).double()[:2], amplitude
    given = Measurement(u * torch.tensor([0.4, -0.2]).double(), Matrix(matrix), White(u * 0.01))
    law, sigmas = Scaled(prior, u), u * Karras(0.1, 100.0).grid(6)
    x, stream = normal(4, 3), g(5)
    *_, last = walk(law, DAPS(given, amplitude=u), 100 * u * x, sigmas, g(5))
    x = 100 * x

    def z() -> Tensor:
        return torch.empty_like(x).normal_(generator=stream)

    for i, (sigma, target) in enumerate(pairwise((sigmas / u).tolist())):
        flow = [(sigma ** (1 / 7) + r / 4 * (0.01 ** (1 / 7) - sigma ** (1 / 7))) ** 7 for r in range(5)]
        for s, t in pairwise([*flow, 0.0]):
            x = x + (t - s) / s * (x - prior.denoise(x, s))
        guess = x
        for _ in range(3):
            z()  # the chain measures the curvature of the likelihood at two points
        h = 1e-4 / (1 + 1e-4 / sigma**2) * (1 + i / 5 * (0.01 - 1))
        for _ in range(100):
            score = (guess - x) / sigma**2 + (given.y / u - x @ matrix.T) @ matrix / 0.01**2
            x = x + h * score + (2 * h) ** 0.5 * z()
        x = x + target * z() if target else x
    torch.testing.assert_close(last.x, u * x, rtol=1e-6, atol=1e-8)


def test_a_bad_amplitude_is_refused():
    with pytest.raises(InputError, match="amplitude"):
        DAPS(tb_g().measurement, amplitude=0.0)


def test_noise_is_added_afresh():
    """x - x0 is white of the target's level, and does not depend on the noise that was there."""
    bench, n = tb_g(), 20_000
    kernel = DAPS(bench.measurement, MEAN, Center())
    x, (sigma, target) = normal(1, 8).expand(n, 8), torch.tensor([2.0, 0.7]).double()
    moved = kernel.step(bench.prior, kernel.start(x), sigma, target, g()).x - bench.prior.denoise(x, sigma)
    covariance = moved.T @ moved / n
    assert bool(((covariance - 0.49 * torch.eye(8)).abs() < 5 * 0.49 * math.sqrt(2 / n)).all())
    clean = kernel.step(bench.prior, kernel.start(x), sigma, torch.zeros(()), g()).x
    torch.testing.assert_close(clean, bench.prior.denoise(x, sigma))


def test_evaluations():
    """Five a step, as published; fewer where the schedule has fewer levels."""
    bench = tb_g()
    drawn = sample(bench.prior, DAPS(bench.measurement, likelihood=PerturbAndMap()), Karras(0.1, 100.0).grid(20), n=2)
    assert drawn.cost.evaluations == 20 * 5 + 1  # one to begin
