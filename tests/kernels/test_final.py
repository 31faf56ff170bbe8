"""The last step of a walk as a draw: of a prior, and of a prior given data however precise they are."""

from __future__ import annotations

import math

import pytest
import torch
from benches import tb_g
from torch import Tensor

from scorefield.kernel import State
from scorefield.kernels import DPMpp2M, FinalDraw, Heun
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix
from scorefield.posteriors import MMPS, Exact
from scorefield.priors import Gaussian
from scorefield.randomness import normal_like
from scorefield.sampling import sample
from scorefield.schedules import Karras
from support import monte_carlo_floor, normal, relative_wasserstein

BENCH = tb_g()
N = 4000


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def conditional(prior: Gaussian, x: Tensor, sigma: float) -> Gaussian:
    """x0 given one noisy image (d,), by the joint covariance."""
    identity = torch.eye(len(x)).double()
    gain = prior.covariance @ torch.linalg.inv(prior.covariance + sigma**2 * identity)
    return Gaussian(prior.mean + gain @ (x - prior.mean), prior.covariance - gain @ prior.covariance)


@pytest.mark.parametrize("kernel", [Heun(), DPMpp2M(eta=1.0)], ids=str)
def test_all_steps_but_the_last_are_those_of_the_kernel(kernel):
    x, (s, t) = normal(4, 8), torch.tensor([1.0, 0.5], dtype=torch.float64)
    expected = kernel.step(BENCH.prior, kernel.start(x), s, t, g())
    wrapped = FinalDraw(kernel)
    assert torch.equal(wrapped.step(BENCH.prior, wrapped.start(x), s, t, g()).x, expected.x)


@pytest.mark.parametrize("sigma", [0.03, 0.3, 3.0])
def test_the_last_step_draws_what_a_noisy_image_leaves_open(sigma):
    """Moments of N draws from one image against the Gaussian law of x0 | x, within three times the floor of N."""
    x = BENCH.prior.rsample(1, g(1))[0] + sigma * normal(8, seed=2)
    exact = conditional(BENCH.prior, x, sigma)
    state, level = State(x.expand(N, 8)), torch.tensor(sigma).double()
    drawn = FinalDraw(Heun()).step(BENCH.prior, state, level, 0 * level, g()).x
    far = relative_wasserstein(drawn, exact.mean, exact.covariance)
    assert far < 3 * monte_carlo_floor(exact.mean, exact.covariance, N)


@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-4])
def test_given_data_it_draws_what_image_and_data_leave_open(noise):
    """The law of x0 | x, y, from one noisy image: each direction has its own standard deviation, to 5 standard errors.

    Data that are a thousand times more precise than the level leave directions a thousand times narrower.
    """
    sigma, a = 0.1, normal(3, 8, seed=3)
    x0 = BENCH.prior.rsample(1, g(1))
    x = x0[0] + sigma * normal(8, seed=2)
    given = Measurement((x0 @ a.T)[0] + noise * normal(3, seed=4), Matrix(a), White(noise))
    exact = conditional(BENCH.prior, x, sigma).posterior(given)
    drawn = MMPS(BENCH.prior, given).draw_clean(x.expand(N, 8), torch.tensor(sigma).double(), g())
    values, axes = torch.linalg.eigh(exact.covariance)
    z = (drawn - exact.mean) @ axes / values.sqrt()
    assert float((z.std(0) - 1).abs().max()) < 5 / math.sqrt(2 * N) + 0.02  # and what the root of J leaves
    assert float(z.mean(0).abs().max()) < 5 / math.sqrt(N) + 0.06  # and a twentieth of the noise


def test_given_a_second_scan_it_draws_what_both_scans_leave_open():
    """A posterior is a prior: the draw of the first one is conditioned on the second, the more precise one."""
    sigma, a = 0.1, normal(4, 8, seed=3)
    x0 = BENCH.prior.rsample(1, g(1))
    x = x0[0] + sigma * normal(8, seed=2)
    stds = torch.tensor([0.05, 0.05, 0.001, 0.001]).double()
    y = (x0 @ a.T)[0] + stds * normal(4, seed=4)
    one, two = (Measurement(y[k], Matrix(a[k]), White(float(stds[k][0]))) for k in (slice(0, 2), slice(2, 4)))
    exact = conditional(BENCH.prior, x, sigma).posterior(one).posterior(two)
    drawn = MMPS(MMPS(BENCH.prior, one), two).draw_clean(x.expand(N, 8), torch.tensor(sigma).double(), g())
    values, axes = torch.linalg.eigh(exact.covariance)
    z = (drawn - exact.mean) @ axes / values.sqrt()
    assert float((z.std(0) - 1).abs().max()) < 5 / math.sqrt(2 * N) + 0.02
    assert float(z.mean(0).abs().max()) < 5 / math.sqrt(N) + 0.06


def test_the_solver_restarts_until_a_twentieth_of_the_noise_is_left():
    """The same noise with a dense solve: its data are met to .05 of the noise, which takes more than eight products."""
    size, sigma, noise = 200, torch.tensor(0.1).double(), 3e-3
    variances = torch.logspace(-1, -4, size).double()
    prior = Gaussian(torch.zeros(size).double(), variances.diag())
    x0 = prior.rsample(1, g(1))
    given = Measurement(x0 + noise * normal(1, size, seed=4), Matrix(torch.eye(size).double()), White(noise))
    x = x0 + sigma * normal(3, size, seed=2)
    drawn = MMPS(prior, given).draw_clean(x, sigma, g(7))
    generator = g(7)
    start = prior.draw_clean(x, sigma, generator)
    white = normal_like(start, generator)
    spread = 1 / (1 / variances + 1 / sigma**2)
    exact = start + spread / (spread + noise**2) * (given.y - noise * white - start)
    assert bool(((drawn - exact).norm(dim=1) < 0.05 * noise * white.norm(dim=1)).all())


@pytest.mark.parametrize("posterior", [MMPS, Exact])
def test_a_walk_that_ends_far_above_the_resolution_has_the_right_spread(posterior):
    """Levels down to .3, data to .001: the mean of what is left open would have a three hundredth of the spread."""
    given = Measurement(normal(8, seed=5), Matrix(torch.eye(8).double()), White(1e-3))
    exact = BENCH.prior.posterior(given)
    drawn = sample(
        posterior(BENCH.prior, given), FinalDraw(DPMpp2M(eta=1.0)), Karras(0.3, 10.0).grid(24), n=500, seed=0,
        like=torch.empty(0).double(),
    ).draws  # fmt: skip
    ratio = ((drawn - exact.mean).square().mean(0) / exact.covariance.diagonal()).mean().sqrt()
    assert float(ratio) == pytest.approx(1, abs=5 / math.sqrt(2 * 8 * 500))
