"""The tutorial's sampling experiments, measured: the decaying step, Langevin on posteriors, and their modes."""

from __future__ import annotations

import math

import pytest
import torch
from benches import tb_1d, tb_g, tb_m
from torch import Tensor

from scorefield.kernel import Kernel
from scorefield.kernels import MALA, Absolute, Ascent, Langevin
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.posteriors import AnnealedLikelihood
from scorefield.prior import Prior, Score
from scorefield.priors.frozen import Frozen
from scorefield.sampling import walk
from scorefield.schedules import Geometric
from support import normal, relative_wasserstein


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clean(steps: int) -> Tensor:
    """The grid of a walk that makes so many steps at level 0."""
    return torch.zeros(steps + 1, dtype=torch.float64)


def last(prior: Prior, kernel: Kernel, x: Tensor, sigmas: Tensor, seed: int = 1) -> Tensor:
    *_, state = walk(prior, kernel, x, sigmas, g(seed))
    return state.x


# --- the tutorial's sampler of its mixture (A13)


class Sharpened(Score):
    """The law p^2, normalized."""

    def __init__(self, prior: Prior):
        super().__init__()
        self.prior = prior

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return 2 * self.prior.score(x, sigma)


def tutorial_chains(prior: Prior, rate: float) -> tuple[float, float]:
    """30 000 chains with steps ``rate (.99^t)^2``: the fraction below 7, and the Kolmogorov-Smirnov distance.

    The clock ``sigma_t = .99^t`` of the walk sets the step; the density is held at level 0.
    """
    clock = 0.99 ** torch.arange(1, 602, dtype=torch.float64)
    start = 9 + math.sqrt(29.8) * normal(30_000, 1)
    x = last(Frozen(prior, 0.0), Langevin(rate=rate), start, clock).flatten().sort().values
    exact = 0.4 * torch.special.ndtr(x - 3) + 0.6 * torch.special.ndtr((x - 13) / 3)
    ranks = torch.arange(len(x) + 1, dtype=torch.float64) / len(x)
    distance = torch.maximum(exact - ranks[:-1], ranks[1:] - exact).max().item()
    return (x < 7).double().mean().item(), distance


def test_a13_the_decaying_step_freezes_before_it_has_mixed():
    """A fraction .348 below 7 where the mixture has .4136; one standard error is .0027."""
    below, distance = tutorial_chains(tb_1d(), rate=1.0)
    assert 0.335 < below < 0.361
    assert 0.05 < distance < 0.08


def test_a13_the_missing_factor_of_two_shows():
    """``a s + sqrt(a) z`` is half the step on twice the score: .325 below 7, distance .12."""
    below, distance = tutorial_chains(Sharpened(tb_1d()), rate=0.5)
    assert below == pytest.approx(0.325, abs=0.013)
    assert distance == pytest.approx(0.12, abs=0.015)


def test_a13_metropolis_mends_it():
    """The same 600 steps at a = 1, each accepted or rejected; 10 000 chains, one standard error .005."""
    x = last(tb_1d(), MALA(Absolute(1.0)), 9 + math.sqrt(29.8) * normal(10_000, 1), clean(600))
    assert (x < 7).double().mean().item() == pytest.approx(0.4136, abs=0.022)


# --- posterior Langevin (A15)


def pooled(prior: Prior, x: Tensor, a: float) -> Tensor:
    """6000 steps, and the chains at every 500th of the second half: these are nearly independent."""
    states = enumerate(walk(prior, Langevin(Absolute(a)), x, clean(6000), g(1)))
    return torch.cat([state.x for i, state in states if i >= 3000 and i % 500 == 0])


def test_a15_langevin_samples_the_posterior():
    """TB-G with a = .2 over the largest precision: relative W2 below .05; without the data it is far away."""
    bench = tb_g()
    a = 0.2 / torch.linalg.eigvalsh(torch.linalg.inv(bench.covariance))[-1].item()
    conditioned = AnnealedLikelihood(bench.prior, bench.measurement, inflation=0)
    start = bench.prior.rsample(1000, g())
    assert relative_wasserstein(pooled(conditioned, start, a), bench.mean, bench.covariance) < 0.05
    assert relative_wasserstein(start, bench.mean, bench.covariance) > 1


def annealed(inflation: float) -> float:
    """Relative W2 on TB-G after 60 levels of 40 steps, each step .2 over the level's largest precision."""
    bench, eye = tb_g(), torch.eye(8, dtype=torch.float64)
    conditioned = AnnealedLikelihood(bench.prior, bench.measurement, inflation=inflation)
    x = 60 * normal(1000, 8)
    for seed, sigma in enumerate(Geometric(0.003, 60.0).grid(60)[:-1]):
        covariance = 0.01 * eye[:4, :4] + inflation * sigma**2 * bench.matrix @ bench.matrix.T
        data = bench.matrix.T @ torch.linalg.solve(covariance, bench.matrix)
        precision = torch.linalg.eigvalsh(torch.linalg.inv(bench.prior.covariance + sigma**2 * eye) + data)[-1]
        x = last(conditioned, Langevin(Absolute(0.2 / precision.item())), x, sigma.expand(41), seed)
    return relative_wasserstein(x, bench.mean, bench.covariance)


def test_a15_the_annealed_likelihood_must_be_inflated():
    """Without, only the clean likelihood's small steps are stable, and the start is not forgotten: 3.6 and .076.

    1000 exact draws have .06.
    """
    assert annealed(inflation=1) < 0.12
    assert annealed(inflation=0) > 2


# --- the mode (A16)


@pytest.mark.parametrize("std", [0.1, 0.3, 1.0])
def test_a16_the_noise_level_is_the_only_weight(std):
    """Whatever the noise, the same ascent ends at that posterior's mean, and no step goes down: there is no beta."""
    bench = tb_g()
    given = Measurement(bench.measurement.y, bench.measurement.operator, White(std))
    exact = bench.prior.posterior(given)
    curvature = 1 / exact.eigenvalues
    walked = walk(
        AnnealedLikelihood(bench.prior, given, inflation=0),
        Ascent(Absolute(1 / curvature.max().item())),
        bench.prior.rsample(3, g()),
        clean(6000),
        g(),
    )
    states = torch.stack([state.x for state in walked])
    assert (states[-1] - exact.mean).norm(dim=1).max().item() < 1e-6
    heights = exact.log_prob(states.flatten(0, 1)).reshape(len(states), 3)
    assert heights.diff(dim=0).min().item() > -1e-9  # round-off of numbers of size 1e3


def test_a16_on_a_mixture_the_mode_found_is_the_one_uphill():
    bench = tb_m()
    posterior = bench.prior.posterior(bench.measurement)
    x = last(
        AnnealedLikelihood(bench.prior, bench.measurement, inflation=0),
        Ascent(Absolute(0.1)),
        3 * normal(200, 2),
        clean(500),
    )
    assert posterior.score(x, 0.0).abs().max().item() < 1e-9
    assert len(x.round(decimals=5).unique(dim=0)) > 1  # local modes: ascent is not sampling
