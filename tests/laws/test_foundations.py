"""The tutorial's foundations, with the numbers of its own toys: scores, densities, memory, Gamma laws, kernels."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield.densities.potential import log_density
from scorefield.kernels import Ancestral, Heun
from scorefield.priors import DiagonalGaussian, Gamma, GaussianMixture, GeneralizedGaussian, Kde
from scorefield.priors.gamma import acceptance_rejection
from scorefield.sampling import walk
from scorefield.schedules import Karras


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def uniform(n: int, d: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def close(a: Tensor, b: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def tutorial_mixture() -> GaussianMixture:
    return GaussianMixture(t(3, 13).unsqueeze(1), t(1, 9), t(0.4, 0.6))


def gaussian_by_hand(x: Tensor) -> Tensor:
    return -(x - 8) / 9  # erratum 1: the slide lacks the sign


def mixture_by_hand(x: Tensor) -> Tensor:
    density = [w * torch.exp(-((x - m) ** 2) / (2 * s * s)) / s for w, m, s in ((0.4, 3, 1), (0.6, 13, 3))]
    return (density[0] * (3 - x) / 1 + density[1] * (13 - x) / 9) / (density[0] + density[1])


def gamma_by_hand(x: Tensor) -> Tensor:
    return 7 / x - 1


def two_pixels_by_hand(x: Tensor) -> Tensor:
    # erratum 2: the slide has the opposite sign; erratum 9: the plot lacks the factor alpha
    d = x[:, 1:] - x[:, :1]
    return 1.01 * d.abs() ** 0.01 * d.sign() * t(1, -1)


FAMILIES = [
    pytest.param(DiagonalGaussian(t(8), t(9)), gaussian_by_hand, uniform(1000, 1, -10, 26), id="gaussian"),
    pytest.param(tutorial_mixture(), mixture_by_hand, uniform(1000, 1, -5, 25), id="mixture"),
    pytest.param(Gamma(8.0, 1.0), gamma_by_hand, uniform(1000, 1, 0.1, 30), id="gamma"),
    pytest.param(GeneralizedGaussian(1.0, 1.01), two_pixels_by_hand, uniform(1000, 2, -2, 2), id="generalized"),
]


@pytest.mark.parametrize(("prior", "by_hand", "x"), FAMILIES)
def test_scores_of_simple_densities(prior, by_hand, x):
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(prior.log_prob(leaf).sum(), leaf)
    score = prior.score(x, 0.0)
    close(score, gradient, 1e-6)
    close(score, by_hand(x), 1e-6)


@pytest.mark.parametrize(("prior", "by_hand", "x"), FAMILIES)
def test_scores_point_uphill(prior, by_hand, x):
    score = by_hand(x)
    # a step of 1e-3 crosses the ridge x1 = x2 from closer than half of itself, and a mode where the score vanishes
    off_ridge = x.shape[1] == 1 or (x[:, 1] - x[:, 0]).abs() > 2.1e-3
    steep = (score.abs().amax(1) > 1e-3) & off_ridge
    assert steep.sum() > 980
    assert bool((prior.log_prob(x + 1e-3 * score) > prior.log_prob(x))[steep].all())


def test_a_density_from_its_score():
    prior, x = tutorial_mixture(), torch.linspace(-10, 30, 4001, dtype=torch.float64)
    exact = prior.log_prob(x.unsqueeze(1)).exp()
    assert (log_density(prior, x).exp() - exact).abs().max() < 1e-5


@pytest.mark.parametrize(("kernel", "steps"), [(Heun(), 80), (Ancestral(), 400)])  # ancestral steps are of first order
def test_diffusion_of_the_empirical_score_memorizes(kernel, steps):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(12, 2, dtype=torch.float64, generator=generator)
    prior, n = Kde(points, 0.0), 3000
    start = 20 * torch.randn(n, 2, dtype=torch.float64, generator=generator)
    levels = Karras(1e-4, 20.0).grid(steps)
    *_, before, last = walk(prior, kernel, start, levels, generator)
    distance, nearest = torch.cdist(before.x, points, compute_mode="donot_use_mm_for_euclid_dist").min(1)
    assert distance.max() < 5e-4  # at the last level, 1e-4
    close(last.x, points[nearest], 1e-12)  # and at 0
    # every point equally often, as draws with replacement
    counts = torch.bincount(nearest, minlength=12)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def newton(points: Tensor) -> tuple[float, float]:
    """The textbook's maximum-likelihood iteration for shape and scale."""
    s = points.mean().log() - points.log().mean()
    k = (3 - s + ((s - 3) ** 2 + 24 * s).sqrt()) / (12 * s)
    for _ in range(5):
        k = k - (k.log() - torch.digamma(k) - s) / (1 / k - torch.polygamma(1, k))
    return k.item(), (points.mean() / k).item()


@pytest.mark.parametrize(("shape", "n"), [(8.0, 100), (1.0, 100), (0.3, 500)])
def test_gamma_maximum_likelihood(shape, n):
    points = Gamma(shape, 2.0).rsample(n, torch.Generator().manual_seed(1)).double()
    fit, (k, scale) = Gamma.fit(points), newton(points)
    assert fit.shape == pytest.approx(k, rel=1e-8)
    assert 1 / fit.rate == pytest.approx(scale, rel=1e-8)
    best = fit.log_prob(points).sum()
    for other in (
        Gamma(1.01 * k, fit.rate),
        Gamma(0.99 * k, fit.rate),
        Gamma(k, 1.01 * fit.rate),
        Gamma(k, 0.99 * fit.rate),
    ):
        assert other.log_prob(points).sum() < best


def test_gamma_draws_by_acceptance_and_rejection():
    n = 100_000
    draws, proposals = acceptance_rejection(8.0, n, torch.Generator().manual_seed(0))
    assert n / proposals == pytest.approx(0.996, abs=0.002)
    assert stats.kstest(draws.double().numpy(), stats.gamma(8).cdf).pvalue > 0.01
    assert 7.9 < Gamma.fit(draws).shape < 8.1


def test_gamma_diffuses_to_itself():
    # the quadrature at sigma > 0 serves a sampler: the probability-flow ODE from wide noise to the clean law
    prior, n = Gamma(8.0, 1.0), 4000
    generator = torch.Generator().manual_seed(0)
    start = 8 + math.sqrt(8 + 40**2) * torch.randn(n, 1, dtype=torch.float64, generator=generator)
    *_, last = walk(prior, Heun(), start, Karras(0.01, 40.0).grid(40), generator)
    assert stats.kstest(last.x[:, 0].numpy(), stats.gamma(8).cdf).statistic < 2.2 / math.sqrt(n)


@pytest.mark.parametrize("sigma", [0.0005, 0.05, 0.1, 0.5, 0.9, 1.0, 5.0])
def test_kernel_density_score(sigma):
    points = tutorial_mixture().rsample(200, torch.Generator().manual_seed(0))
    x = torch.linspace(-5, 25, 300, dtype=torch.float64).unsqueeze(1)
    prior = Kde(points, 0.0)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(prior.log_prob(leaf, sigma).sum(), leaf)
    close(prior.score(x, sigma), gradient, 1e-5)
    # erratum 4: the mean of the kernels, not their sum
    density = torch.exp(-((x - points.T) ** 2) / (2 * sigma**2)).mean(1) / (sigma * math.sqrt(2 * math.pi))
    close(prior.log_prob(x, sigma).exp(), density, 1e-9)
    # the weights sum to 1: what is added to all points is added to their average
    close(Kde(points + 100, 0.0).denoise(x + 100, sigma), prior.denoise(x, sigma) + 100, 1e-9)


def test_kernels_wider_than_the_data_are_one_gaussian():
    points = tutorial_mixture().rsample(200, torch.Generator().manual_seed(0))
    x = torch.linspace(-5, 25, 50, dtype=torch.float64).unsqueeze(1)
    errors = []
    for sigma in (100.0, 1000.0):
        limit = -(x - points.mean()) / sigma**2
        errors.append(((Kde(points, 0.0).score(x, sigma) - limit).abs().max() * sigma**2).item())
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.05)  # the variance of the points over sigma^2
    assert errors[1] < 1e-3
