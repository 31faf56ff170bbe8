"""The Gamma law: clean against SciPy, noisy against a brute-force quadrature and a parabolic cylinder function."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import special, stats
from torch import Tensor

from scorefield.errors import InputError
from scorefield.priors.gamma import Gamma, acceptance_rejection

SHAPES = [0.3, 1.0, 2.5, 8.0, 100.0]
LEVELS = [0.02, 0.5, 3.0]
every = pytest.mark.parametrize("shape", SHAPES)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def around(shape: float, rate: float) -> Tensor:
    """From left of the support to the far right of the mass."""
    return column(-2.0, -0.1, 0.0, *stats.gamma.ppf([1e-3, 0.1, 0.5, 0.9, 0.999], shape, scale=1 / rate), 3 * shape)


@every
def test_the_clean_law_is_scipys(shape):
    prior, x = Gamma(shape, 1.7), around(shape, 1.7)
    close(prior.log_prob(x)[3:], torch.from_numpy(stats.gamma.logpdf(x[3:, 0], shape, scale=1 / 1.7)))
    assert bool((prior.log_prob(x)[:3] == -math.inf).all())  # x <= 0
    leaf = x[3:].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(prior.log_prob(leaf).sum(), leaf)
    close(prior.score(x[3:], 0.0), gradient)
    assert bool((prior.score(x[:3], 0.0) == math.inf).all())


@every
@pytest.mark.parametrize("sigma", LEVELS)
def test_the_noisy_density_is_the_convolution(shape, sigma):
    # in t = log u, where the integrand is smooth for every shape, by a rule fine enough for the narrowest noise
    prior, mean = Gamma(shape, 1.3), shape / 1.3
    t = torch.linspace(math.log(mean) - 40 / shape - 9, math.log(mean) + 4, 400_001, dtype=torch.float64)
    u = t.exp()
    weight = shape * t - 1.3 * u + shape * math.log(1.3) - math.lgamma(shape) + (t[1] - t[0]).log()
    for x in around(shape, 1.3):
        terms = weight - ((x - u) / sigma).square() / 2 - math.log(sigma * math.sqrt(2 * math.pi))
        close(prior.log_prob(x.unsqueeze(0), sigma), terms.logsumexp(0, keepdim=True), 1e-9)
        average = (terms.softmax(0) * u).sum().reshape(1, 1)
        close(prior.denoise(x.unsqueeze(0), sigma), average, 1e-9)


@pytest.mark.parametrize("shape", [0.3, 1.0, 2.5, 8.0])
def test_the_noisy_density_is_a_parabolic_cylinder_function(shape):
    rate, sigma = 1.3, 0.8
    x = column(-2.0, -0.5, 0.0, 0.7, 2.0, 5.0, 9.0)
    mu = x[:, 0] / sigma - rate * sigma
    cylinder, _ = special.pbdv(-shape, -mu.numpy())
    log_integral = math.lgamma(shape) - mu.square() / 4 + torch.from_numpy(cylinder).log()
    constant = shape * math.log(rate) + (shape - 1) * math.log(sigma) - math.log(2 * math.pi) / 2 - math.lgamma(shape)
    exact = constant - rate * x[:, 0] + (rate * sigma) ** 2 / 2 + log_integral
    close(Gamma(shape, rate).log_prob(x, sigma), exact, 1e-9)


def test_shape_one_is_an_exponential_with_gaussian_noise():
    # the exponentially modified Gaussian has a closed form: an error function
    x, rate, sigma = column(-3.0, -0.2, 0.0, 1.0, 4.0, 12.0), 0.7, 0.9
    close(
        Gamma(1.0, rate).log_prob(x, sigma),
        torch.from_numpy(stats.exponnorm.logpdf(x[:, 0], 1 / (rate * sigma), 0, sigma)),
    )


@every
@pytest.mark.parametrize("sigma", LEVELS)
def test_score_is_the_gradient_and_denoise_is_tweedie(shape, sigma):
    prior, x = Gamma(shape, 1.3), around(shape, 1.3).requires_grad_()
    (gradient,) = torch.autograd.grad(prior.log_prob(x, sigma).sum(), x)
    score = prior.score(x.detach(), sigma)
    close(score, gradient, 1e-8)
    close(prior.denoise(x.detach(), sigma), x.detach() + sigma**2 * score, 1e-9)


@every
def test_the_denoised_is_positive_and_grows(shape):
    x = torch.linspace(-4, 20, 200, dtype=torch.float64).unsqueeze(1)
    denoised = Gamma(shape, 1.3).denoise(x, 0.6)
    assert bool((denoised > 0).all())
    assert bool((denoised.diff(dim=0) > 0).all())  # its slope is a variance


@pytest.mark.parametrize("shape", [0.3, 2.5, 8.0, 100.0])
def test_small_noise_changes_the_score_by_its_square(shape):
    prior, x = Gamma(shape, 1.3), column(0.5, 1.0, 2.0)
    exact = prior.score(x, 0.0)
    coarse, fine = ((prior.score(x, sigma) - exact).abs().max().item() for sigma in (1e-3, 1e-4))
    assert coarse / fine == pytest.approx(100, rel=0.02)


def test_each_number_at_its_own_level():
    prior, x = Gamma(2.5, 1.3), column(0.5, -1.0, 2.0, 2.0)
    levels = torch.tensor([0.0, 0.4, 0.0, 3.0], dtype=torch.float64)
    for call in (prior.log_prob, prior.score, prior.denoise):
        together = call(x, levels)
        close(together, torch.cat([call(x[i : i + 1], levels[i]) for i in range(4)]))
    close(prior.denoise(x, 0.0), x)


def test_single_precision():
    prior, x = Gamma(8.0, 1.0), torch.linspace(-2, 20, 50).unsqueeze(1)
    for call in (prior.log_prob, prior.score, prior.denoise):
        found = call(x, 0.5)
        assert found.dtype == torch.float32
        close(found.double(), call(x.double(), 0.5), 2e-4)


@pytest.mark.parametrize("shape", [0.4, 1.0, 8.0])
def test_draws_have_the_law(shape):
    draws = Gamma(shape, 2.0).rsample(20_000, torch.Generator().manual_seed(0))
    assert tuple(draws.shape) == (20_000, 1)
    distance = stats.kstest(draws[:, 0].double().numpy(), stats.gamma(shape, scale=0.5).cdf).statistic
    assert distance < 2.2 / math.sqrt(20_000)  # exceeded once in 8000


def test_same_generator_same_draws():
    first, again, other = (Gamma(0.5, 2.0).rsample(9, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("shape", [0.2, 1.0, 8.0])
def test_the_acceptance_rate_is_a_ratio_of_integrals(shape):
    # a proposal is kept with probability E exp(min(0, ...)); the bound is never above 1, so no minimum is needed
    d = (shape if shape >= 1 else shape + 1) - 1 / 3
    z = torch.linspace(-math.sqrt(9 * d), 12, 400_001, dtype=torch.float64)[1:]
    v = (1 + z / math.sqrt(9 * d)) ** 3
    rate = torch.trapezoid(torch.exp(d - d * v + d * v.log()), z).item() / math.sqrt(2 * math.pi)
    n = 40_000
    draws, proposals = acceptance_rejection(shape, n, torch.Generator().manual_seed(0))
    assert draws.shape == (n,)
    assert abs(n / proposals - rate) < 5 * math.sqrt(rate * (1 - rate) / n)


@pytest.mark.parametrize(
    ("points", "sentence"),
    [([1.0, -1.0], "positive"), ([1.0, math.nan], "positive"), ([2.0, 2.0], "differ"), ([2.0], "differ")],
)
def test_fit_refuses(points, sentence):
    with pytest.raises(InputError, match=sentence):
        Gamma.fit(torch.tensor(points))


def test_fit_does_not_care_for_the_form_of_the_points():
    points = Gamma(3.0, 2.0).rsample(100, torch.Generator().manual_seed(0))
    fits = [Gamma.fit(p) for p in (points, points[:, 0], points.double().reshape(10, 10))]
    assert len({(fit.shape, fit.rate) for fit in fits}) == 1
    doubled = Gamma.fit(2 * points)  # the shape has no unit, the rate has the inverse of x's
    assert doubled.shape == pytest.approx(fits[0].shape, rel=1e-5)
    assert doubled.rate == pytest.approx(fits[0].rate / 2, rel=1e-5)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_refuses(bad):
    with pytest.raises(InputError, match="shape"):
        Gamma(bad, 1.0)
    with pytest.raises(InputError, match="rate"):
        Gamma(1.0, bad)


@pytest.mark.parametrize("x", [torch.zeros(3), torch.zeros(3, 2), torch.zeros(3, 1, dtype=torch.complex64)])
def test_refuses_other_events(x):
    for call in (Gamma(2.0, 1.0).score, Gamma(2.0, 1.0).log_prob, Gamma(2.0, 1.0).denoise):
        with pytest.raises(InputError, match="one real number"):
            call(x, 0.5)
