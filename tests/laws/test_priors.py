"""Laws that every prior obeys, over every closed-form class and every way to lift one.

The strongest is the smoothing law: everything a prior says at a level sigma > 0 (density, denoiser, Jacobian)
is compared with quadrature of its own density at sigma = 0.
"""

from __future__ import annotations

import copy
import math

import pytest
import torch
from closed_forms import (
    NO_POSTERIOR,
    PRIORS,
    UNNORMALIZED,
    dense_mixture,
    diagonal,
    diagonal_complex,
    events,
    gaussian,
    grid,
    kde,
    log_density,
    mixture,
    rows,
    seen,
    seen_complex,
    some,
    stationary,
    t,
)
from registry import assert_examples
from torch import Tensor

from scorefield import priors
from scorefield.errors import InputError
from scorefield.prior import ClosedForm, Denoiser, Prior, Score
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.randomness import normal_like

CASES = [pytest.param(make, id=name) for name, make in PRIORS.items()]
CONDITIONABLE = [pytest.param(make, id=name) for name, make in PRIORS.items() if name not in NO_POSTERIOR]
LEVELS = t([0.5, 0.7, 1.0, 2.0, 0.5])
every = pytest.mark.parametrize("make", CASES)
every_conditionable = pytest.mark.parametrize("make", CONDITIONABLE)


def test_every_exported_law_with_a_posterior_is_here():
    assert_examples(priors, ClosedForm, {type(make()) for make in PRIORS.values()})


def jacobian(prior: Prior, x: Tensor, sigma: Tensor) -> Tensor:
    """Dense J^T (B, 2, 2), a row for each unit vector."""
    _, vjp = prior.linearize(x, sigma)
    units = [events(prior, t(e).expand(len(x), 2)) for e in ([1.0, 0.0], [0.0, 1.0])]
    return torch.stack([rows(vjp(e)) for e in units], dim=1)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@every
def test_smoothing_law(make):
    prior, points = make(), grid()
    x = some(prior)
    weights = log_density(prior, points) - torch.cdist(rows(x), points).square() / (2 * LEVELS[:, None] ** 2)
    evidence = weights.logsumexp(1) - torch.log(2 * math.pi * LEVELS**2) + 2 * math.log(0.1)
    weights = weights.softmax(1)
    mean = weights @ points
    centered = points - mean.unsqueeze(1)
    covariance = torch.einsum("bn,bni,bnj->bij", weights, centered, centered)
    close(rows(prior.denoise(x, LEVELS)), mean, 1e-8)
    found = LEVELS[:, None, None] ** 2 * jacobian(prior, x, LEVELS)
    close(found, covariance, 1e-8)
    close(found, found.mT, 1e-10)
    assert bool((torch.linalg.eigvalsh(found) > 0).all())
    # images 0 and 4 share a level: their log-densities differ as they should also without the normalization
    log_prob = prior.log_prob(x, LEVELS)
    close(log_prob[0] - log_prob[4], evidence[0] - evidence[4], 1e-8)


@pytest.mark.parametrize("make", [pytest.param(m, id=n) for n, m in PRIORS.items() if n not in UNNORMALIZED])
@pytest.mark.parametrize("sigma", [0.0, 0.6])
def test_log_prob_is_normalized(make, sigma):
    log_mass = log_density(make(), grid(), sigma).logsumexp(0) + 2 * math.log(0.1)
    assert abs(log_mass.item()) < 1e-8


@pytest.mark.parametrize("make", [pytest.param(m, id=n) for n, m in PRIORS.items() if n not in UNNORMALIZED])
def test_the_extent_is_the_standard_deviation_of_a_real_number(make):
    prior, points = make(), grid()
    weights = log_density(prior, points).softmax(0)
    variances = weights @ (points - weights @ points).square()
    assert prior.extent == pytest.approx(variances.mean().sqrt().item(), rel=1e-8)


@every
def test_tweedie(make):
    prior = make()
    x = some(prior)
    square = LEVELS.reshape(-1, *[1] * (x.ndim - 1)).square()
    close(prior.denoise(x, LEVELS), x + square * prior.score(x, LEVELS))


@every
@pytest.mark.parametrize("sigma", [0.0, LEVELS], ids=["clean", "noisy"])
def test_score_is_the_gradient_of_log_prob(make, sigma):
    prior = make()
    x = some(prior).requires_grad_()
    (gradient,) = torch.autograd.grad(prior.log_prob(x, sigma).sum(), x)
    close(prior.score(x.detach(), sigma), gradient, 1e-8)


@every
def test_denoise_tends_to_the_identity(make):
    prior = make()
    x = some(prior)
    close(prior.denoise(x, 0.0), x, 1e-10)
    moved = [(prior.denoise(x, sigma) - x).abs().max().item() for sigma in (1e-3, 1e-4)]
    assert moved[0] < 1e-4  # sigma^2 times a score of at most 100
    assert moved[0] / moved[1] == pytest.approx(100, rel=0.05)


@every
def test_each_image_as_if_alone(make):
    prior = make()
    x = some(prior)
    v = some(prior, seed=2)
    together = [prior.denoise(x, LEVELS), prior.score(x, LEVELS), prior.log_prob(x, LEVELS)]
    denoised, vjp = prior.linearize(x, LEVELS)
    together += [denoised, vjp(v)]
    for i in range(len(x)):
        one, sigma = x[i : i + 1], LEVELS[i]
        alone = [prior.denoise(one, sigma), prior.score(one, sigma), prior.log_prob(one, sigma)]
        denoised, vjp = prior.linearize(one, sigma)
        alone += [denoised, vjp(v[i : i + 1])]
        for a, b in zip(together, alone, strict=True):
            close(a[i : i + 1], b)


@every
def test_one_level_serves_the_batch_in_every_form(make):
    prior = make()
    x = some(prior)
    expected = prior.denoise(x, torch.full((5,), 0.7, dtype=torch.float64))
    for sigma in (0.7, t(0.7), t([0.7])):
        close(prior.denoise(x, sigma), expected)


@every
def test_linearize_is_autograd_through_denoise(make):
    prior = make()
    x, v = some(prior), some(prior, seed=2)
    denoised, vjp = prior.linearize(x, LEVELS)
    plain, automatic = Prior.linearize(prior, x, LEVELS)
    assert not denoised.requires_grad
    close(denoised, plain)
    close(vjp(v), automatic(v), 1e-8)


@every
def test_draws_have_the_law(make):
    prior, points, n = make(), grid(), 20_000
    weights = log_density(prior, points).softmax(0)
    draws = prior.rsample(n, torch.Generator().manual_seed(0))
    assert tuple(draws.shape) == (n, *prior.event_shape)
    values = rows(draws)
    # the moments that tell a mixture from a Gaussian too, each to 5 of its own standard errors
    for moment in (lambda u: u, lambda u: u.square(), lambda u: u.prod(1, keepdim=True), lambda u: u**4):
        exact, sampled = weights @ moment(points), moment(values)
        error = sampled.std(0) / math.sqrt(n)
        assert bool(((sampled.mean(0) - exact).abs() < 5 * error).all())


@every
def test_same_generator_same_draws(make):
    prior = make()
    first, again = (prior.rsample(4, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, prior.rsample(4, torch.Generator().manual_seed(6)))


@every_conditionable
@pytest.mark.parametrize("data", [seen, seen_complex])
def test_posterior_is_bayes_rule(make, data):
    prior = make()
    measurement = data(prior)
    x = some(prior)
    difference = prior.posterior(measurement).log_prob(x) - prior.log_prob(x) - measurement.log_likelihood(x)
    close(difference, difference[:1].expand(5), 1e-8)


@every_conditionable
def test_posterior_of_a_posterior_has_both_data(make):
    prior = make()
    first, second = seen(prior), seen_complex(prior)
    both = prior.posterior(first).posterior(second)
    x = some(prior)
    joint = prior.log_prob(x) + first.log_likelihood(x) + second.log_likelihood(x)
    difference = both.log_prob(x) - joint
    close(difference, difference[:1].expand(5), 1e-8)
    swapped = prior.posterior(second).posterior(first)
    close(both.denoise(x, LEVELS), swapped.denoise(x, LEVELS), 1e-8)


@every_conditionable
def test_posterior_refuses_data_of_other_images(make):
    prior = make()
    other = DiagonalGaussian(torch.zeros(1, 2).double(), t([[1.0, 1.0]]))
    if prior.event_shape == other.event_shape:
        other = gaussian()
    with pytest.raises(InputError):
        prior.posterior(seen(other))


@every
@pytest.mark.parametrize("sigma", [-0.1, math.nan, math.inf, [0.1, 0.2]])
def test_bad_levels_are_refused(make, sigma):
    prior = make()
    x = some(prior)
    for call in (prior.denoise, prior.score, prior.log_prob, prior.linearize):
        with pytest.raises(InputError, match="sigma must"):
            call(x, t(sigma))


@every
def test_wrong_images_are_refused(make):
    prior = make()
    x = some(prior)
    other = x.real if x.is_complex() else x + 0j
    for bad in (torch.cat([x, x], dim=1), other):
        for call in (prior.denoise, prior.score, prior.log_prob):
            with pytest.raises(InputError):
                call(bad, 0.5)


@every
def test_buffers_move_and_deep_copies_agree(make):
    prior = make()
    x = some(prior)
    moved = copy.deepcopy(prior).to("cpu")
    assert torch.equal(moved.denoise(x, 0.7), prior.denoise(x, 0.7))
    state = prior.state_dict()
    assert state
    assert all(value.isfinite().all() for value in state.values())
    assert prior.draw(torch.Generator()).event_shape == prior.event_shape
    close(prior.draw(torch.Generator()).denoise(x, 0.7), prior.denoise(x, 0.7))


@pytest.mark.parametrize("make", [gaussian, diagonal, stationary, mixture, dense_mixture, kde])
def test_float32_stays_float32(make):
    prior = make()
    x = some(prior)
    single = copy.deepcopy(prior).float()
    for call, reference in ((single.denoise, prior.denoise), (single.score, prior.score)):
        found = call(x.float(), LEVELS.float())
        assert found.dtype == torch.float32
        close(found.double(), reference(x, LEVELS), 1e-4)
    assert single.rsample(2).dtype == torch.float32


class OnlyDenoiser(Denoiser):
    """What a user writes: the denoiser alone."""

    def denoise(self, x, sigma):
        return dense_mixture().denoise(x, sigma)


class OnlyScore(Score):
    """What a user writes: the score alone."""

    def score(self, x, sigma):
        return dense_mixture().score(x, sigma)


@pytest.mark.parametrize("prior", [OnlyDenoiser(), OnlyScore()])
def test_the_other_half_is_inherited(prior):
    exact: ClosedForm = dense_mixture()
    x, v = some(exact), some(exact, seed=2)
    close(prior.score(x, LEVELS), exact.score(x, LEVELS))
    close(prior.denoise(x, LEVELS), exact.denoise(x, LEVELS))
    close(prior.linearize(x, LEVELS)[1](v), exact.linearize(x, LEVELS)[1](v))
    assert prior.draw() is prior


def test_a_denoiser_alone_has_no_clean_score():
    with pytest.raises(InputError, match="sigma = 0"):
        OnlyDenoiser().score(t([[0.0, 1.0]]), 0.0)


def test_complex_noise_is_sigma_per_real_component():
    # end to end: the mean squared error of D is trace Cov[x0 | x] = 2 tau^2 sigma^2/(tau^2 + sigma^2)
    prior, generator, n, sigma = diagonal_complex(), torch.Generator().manual_seed(0), 40_000, 0.6
    clean = prior.rsample(n, generator)
    errors = (prior.denoise(clean + sigma * normal_like(clean, generator), sigma) - clean).abs().square().flatten()
    expected = 2 * 0.7 * sigma**2 / (0.7 + sigma**2)
    assert abs(errors.mean().item() - expected) < 5 * errors.std().item() / math.sqrt(n)
