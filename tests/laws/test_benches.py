"""The closed forms measured on the common benches, and the acceptance checks A1, A2, A3 and A5."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from benches import gamma, tb_1d, tb_g, tb_m
from torch import Tensor

from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.priors.kde import Kde

EYE = torch.eye(8, dtype=torch.float64)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", [0, 1])
def test_gaussian_bench_at_a_level(seed):
    prior = tb_g(seed).prior
    x = prior.rsample(6, torch.Generator().manual_seed(seed))
    for sigma in (0.01, 0.4, 60.0):
        inverse = torch.linalg.inv(prior.covariance + sigma**2 * EYE)
        close(prior.score(x, sigma), -(x - prior.mean) @ inverse, 1e-9)
        close(prior.denoise(x, sigma), prior.mean + (x - prior.mean) @ inverse @ prior.covariance)
        denoised, vjp = prior.linearize(x[:1].expand(8, 8), sigma)
        close(vjp(EYE), prior.covariance @ inverse)
        close(sigma**2 * vjp(EYE), torch.linalg.inv(torch.linalg.inv(prior.covariance) + EYE / sigma**2))
        assert torch.equal(denoised[0], prior.denoise(x[:1].expand(8, 8), sigma)[0])
        law = torch.distributions.MultivariateNormal(prior.mean, prior.covariance + sigma**2 * EYE)
        close(prior.log_prob(x, sigma), law.log_prob(x), 1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_gaussian_bench_posterior(seed):
    bench = tb_g(seed)
    posterior = bench.prior.posterior(bench.measurement)
    close(posterior.mean, bench.mean, 1e-9)
    close(posterior.covariance, bench.covariance, 1e-9)
    # the two ways to the same number: condition, or condition in two halves
    y, matrix = bench.measurement.y[0], bench.matrix
    halves = bench.prior
    for part in (slice(0, 1), slice(1, 4)):
        halves = halves.posterior(Measurement(y[part], Matrix(matrix[part]), White(0.1)))
    close(halves.mean, bench.mean, 1e-9)
    close(halves.covariance, bench.covariance, 1e-9)


def test_gaussian_bench_draws():
    bench, n = tb_g(), 50_000
    posterior = bench.prior.posterior(bench.measurement)
    draws = posterior.rsample(n, torch.Generator().manual_seed(0)) - bench.mean
    variances = bench.covariance.diagonal()
    assert bool((draws.mean(0).abs() < 5 * (variances / n).sqrt()).all())
    found = draws.T @ draws / n
    error = ((variances[:, None] * variances + bench.covariance.square()) / n).sqrt()
    assert bool(((found - bench.covariance).abs() < 5 * error).all())


def test_posterior_is_calibrated_over_problems():
    # the truth's squared z-score under the posterior is chi-square of 8 degrees over truths and data,
    # whose mean over 200 problems has standard error sqrt(16/200)
    scores = []
    for seed in range(200):
        bench = tb_g(seed)
        posterior = bench.prior.posterior(bench.measurement)
        gap = bench.truth - posterior.mean
        scores.append(gap @ torch.linalg.solve(posterior.covariance, gap))
    assert abs(torch.stack(scores).mean().item() - 8) < 5 * math.sqrt(16 / 200)


def test_mixture_bench_weights():
    bench = tb_m()
    posterior = bench.prior.posterior(bench.measurement)
    close(posterior.weights, bench.weights)
    close(posterior.weights, torch.tensor([0.0001, 0.6135, 0.3864], dtype=torch.float64), 1e-4)
    # the first coordinate of each component moves halfway (prior and noise both 1/4), the second stays
    means = bench.prior.means.clone()
    means[:, 0] = (means[:, 0] + 1) / 2
    close(posterior.means, means)
    expected = torch.diag(torch.tensor([0.125, 0.25], dtype=torch.float64)).expand(3, 2, 2)
    close(posterior.covariances, expected)


def test_mixture_bench_conditional_covariance():
    # V = sum r_k (C_k + m_k m_k') - D D', the second-order Tweedie formula, against linearize
    prior, sigma = tb_m().prior, 1.3
    x = torch.tensor([[0.5, 0.4], [1.6, -0.3], [-0.5, -0.2]], dtype=torch.float64)
    r = prior.responsibilities(x, sigma)
    shrink = 0.25 / (0.25 + sigma**2)
    m = prior.means + shrink * (x.unsqueeze(1) - prior.means)
    denoised = torch.einsum("bk,bkd->bd", r, m)
    outer = torch.einsum("bk,bki,bkj->bij", r, m, m) - denoised[:, :, None] * denoised[:, None, :]
    covariance = outer + sigma**2 * shrink * torch.eye(2, dtype=torch.float64)
    found, vjp = prior.linearize(x, sigma)
    close(found, denoised)
    for i, unit in enumerate(torch.eye(2, dtype=torch.float64)):
        close(sigma**2 * vjp(unit.expand(3, 2)), covariance[:, i])


def test_a1_scores_of_simple_densities():
    x = torch.linspace(-5, 25, 1000, dtype=torch.float64).unsqueeze(1)
    normal = DiagonalGaussian(torch.tensor([8.0]).double(), torch.tensor([9.0]).double())
    close(normal.score(x, 0.0), -(x - 8) / 9)  # erratum 1: the minus sign
    mixture = tb_1d()
    weights, means, std = mixture.weights, mixture.means[:, 0], torch.tensor([1.0, 3.0]).double()
    joint = weights.log() + torch.distributions.Normal(means, std).log_prob(x)
    close(mixture.score(x, 0.0), (joint.softmax(1) * (means - x) / std**2).sum(1, keepdim=True))
    close(mixture.log_prob(x), joint.logsumexp(1))
    positive = torch.linspace(0.1, 30, 1000, dtype=torch.float64).requires_grad_()
    (score,) = torch.autograd.grad(gamma().log_prob(positive).sum(), positive)
    close(score, 7 / positive.detach() - 1)


def test_a2_a_density_from_its_score():
    prior = tb_1d()
    x = torch.linspace(-10, 30, 4001, dtype=torch.float64)
    log_p = torch.cumulative_trapezoid(prior.score(x.unsqueeze(1), 0.0)[:, 0], x)
    p = torch.cat([torch.zeros(1, dtype=torch.float64), log_p]).sub(log_p.max()).exp()
    p = p / torch.trapezoid(p, x)
    error = (p - prior.log_prob(x.unsqueeze(1)).exp()).abs().max().item()
    assert error < 1e-5


def test_a3_the_empirical_score_memorizes():
    points = tb_1d().rsample(200, torch.Generator().manual_seed(0)).repeat(1, 2)
    points[:, 1] = tb_1d().rsample(200, torch.Generator().manual_seed(1))[:, 0]
    prior = Kde(points, 0.0)
    draws = prior.rsample(500, torch.Generator().manual_seed(2))
    assert bool((draws.unsqueeze(1) == points).all(2).any(1).all())  # to the bit
    levels = torch.logspace(math.log10(30), -4, 100, dtype=torch.float64)
    x = 30 * torch.randn(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for sigma, target in pairwise(levels):
        denoised = prior.denoise(x, sigma)
        x = denoised + target / sigma * (x - denoised)  # the probability flow
    nearest = torch.cdist(x, points).min(1)
    assert nearest.values.max().item() < 5e-4
    assert len(nearest.indices.unique()) > 50  # and not all on one point


def test_a5_kde_score():
    points = tb_1d().rsample(200, torch.Generator().manual_seed(0))
    prior = Kde(points, 0.9)
    x = torch.linspace(-10, 30, 1000, dtype=torch.float64).unsqueeze(1).requires_grad_()
    q = torch.distributions.Normal(points[:, 0], 0.9).log_prob(x).logsumexp(1) - math.log(200)
    (gradient,) = torch.autograd.grad(q.sum(), x)
    close(prior.log_prob(x), q)
    close(prior.score(x, 0.0), gradient, 1e-8)
    wide = prior.score(x, 1e4)
    close(wide * 1e8, points.mean() - x, 1e-3)  # far out the points are one: -(x - mean)/sigma^2
