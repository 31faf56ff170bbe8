from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix
from scorefield.priors import mixture
from scorefield.priors.gaussian import Gaussian
from scorefield.priors.mixture import GaussianMixture

LEVELS = torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64)
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def covariances(k: int = 3, d: int = 4) -> Tensor:
    a = randn(k, d, d, seed=4)
    return a @ a.mT / d + 0.2 * torch.eye(d, dtype=torch.float64)


def same_law(a: GaussianMixture | Gaussian, b: GaussianMixture, x: Tensor) -> None:
    close(a.log_prob(x, LEVELS), b.log_prob(x, LEVELS))
    close(a.score(x, LEVELS), b.score(x, LEVELS))
    close(a.denoise(x, LEVELS), b.denoise(x, LEVELS))
    close(a.linearize(x, LEVELS)[1](x), b.linearize(x, LEVELS)[1](x))


def test_one_component_is_a_gaussian():
    mean, x = randn(2, 1, 2), randn(3, 2, 1, 2, seed=1)
    covariance = covariances(1)
    same_law(Gaussian(mean, covariance[0]), GaussianMixture(mean[None], covariance, torch.ones(1)), x)


def test_variances_are_multiples_of_the_identity():
    means, x = randn(3, 4), randn(3, 4, seed=1)
    variances = torch.tensor([0.3, 0.5, 0.9], dtype=torch.float64)
    dense = GaussianMixture(means, variances[:, None, None] * torch.eye(4).double(), WEIGHTS)
    same_law(GaussianMixture(means, variances, WEIGHTS), dense, x)


def test_a_shared_covariance_is_one_for_each():
    means, x, covariance = randn(3, 4), randn(3, 4, seed=1), covariances(1)
    shared, each = (GaussianMixture(means, c, WEIGHTS) for c in (covariance, covariance.expand(3, 4, 4)))
    same_law(shared, each, x)
    measurement = Measurement(randn(2, seed=2), Matrix(randn(2, 4, seed=3)), White(0.5))
    same_law(shared.posterior(measurement), each.posterior(measurement), x)
    one = torch.tensor([0.4], dtype=torch.float64)
    same_law(GaussianMixture(means, one, WEIGHTS), GaussianMixture(means, one.expand(3), WEIGHTS), x)


@pytest.mark.parametrize("far", [0.0, 1e6])
def test_products_of_matrices_are_the_sums_over_components(far):
    """One variance for all takes another way to D and J than one for each, also far from the origin."""
    means, x, v = far + randn(3, 4), far + randn(5, 4, seed=1), randn(5, 4, seed=2)
    one = torch.tensor([0.4], dtype=torch.float64)
    laws = GaussianMixture(means, one, WEIGHTS), GaussianMixture(means, one.expand(3), WEIGHTS)
    for sigma in (0.05, torch.tensor([0.1, 0.3, 1.0, 3.0, 30.0]).double()):
        (denoised, pull), (expected, sums) = (law.linearize(x, sigma) for law in laws)
        torch.testing.assert_close(denoised, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(pull(v), sums(v), rtol=1e-7 if far else 1e-12, atol=1e-9 if far else 1e-12)


@pytest.mark.parametrize(
    "levels", [torch.tensor(0.3).double(), torch.rand(7, generator=torch.Generator().manual_seed(0))]
)
def test_how_many_images_stay_in_the_cache_changes_nothing(levels, monkeypatch):
    """At a level for all, and one for each."""
    prior, x, v = GaussianMixture(randn(3, 4), covariances(), WEIGHTS), randn(7, 4, seed=1), randn(7, 4, seed=2)
    levels = levels.double()
    whole = prior.log_prob(x, levels), prior.score(x, levels), prior.linearize(x, levels)[1](v)
    monkeypatch.setattr(mixture, "CACHED", 2 * prior.means.numel())  # two images at a time
    parts = prior.log_prob(x, levels), prior.score(x, levels), prior.linearize(x, levels)[1](v)
    for a, b in zip(whole, parts, strict=True):
        close(a, b, 1e-12)
    with pytest.raises(InputError, match="sigma must have shape"):
        prior.score(x, levels.new_ones(6))


def test_responsibilities_are_bayes_rule():
    prior, x, sigma = GaussianMixture(randn(3, 4), covariances(), WEIGHTS), randn(5, 4, seed=1), 0.8
    laws = torch.distributions.MultivariateNormal(
        prior.means, prior.covariances + sigma**2 * torch.eye(4, dtype=torch.float64)
    )
    joint = WEIGHTS * laws.log_prob(x.unsqueeze(1)).exp()
    close(prior.responsibilities(x, sigma), joint / joint.sum(1, keepdim=True))
    close(prior.log_prob(x, sigma), joint.sum(1).log())


def test_posterior_is_each_component_and_its_evidence():
    prior = GaussianMixture(randn(3, 2, 2), covariances(), WEIGHTS)
    operator = Matrix(randn(2, 4, seed=3))
    flat = GaussianMixture(prior.means.flatten(1), covariances(), WEIGHTS)
    measurement = Measurement(randn(2, seed=2), operator, White(0.5))
    posterior = flat.posterior(measurement)
    parts = [Gaussian(m, c) for m, c in zip(flat.means, flat.covariances, strict=True)]
    evidence = WEIGHTS * torch.stack([p.log_evidence(measurement) for p in parts]).exp()
    close(posterior.weights, evidence / evidence.sum())
    close(posterior.means, torch.stack([p.posterior(measurement).mean for p in parts]))
    close(posterior.covariances, torch.stack([p.posterior(measurement).covariance for p in parts]))


def test_far_from_all_components_nothing_overflows():
    prior, x = GaussianMixture(randn(3, 4), covariances(), WEIGHTS), 1e4 * randn(3, 4, seed=1)
    for value in (prior.score(x, 0.1), prior.denoise(x, 0.1), prior.log_prob(x, 0.1)):
        assert value.isfinite().all()
    assert prior.linearize(x, 0.1)[1](x).isfinite().all()


def test_a_weight_may_be_zero():
    means, x = randn(3, 4), randn(3, 4, seed=1)
    with_zero = GaussianMixture(means, covariances(), torch.tensor([0.4, 0.0, 0.6]))
    keep = torch.tensor([0, 2])
    same_law(GaussianMixture(means[keep], covariances()[keep], torch.tensor([0.4, 0.6])), with_zero, x)
    assert with_zero.rsample(50).isfinite().all()


def test_a_point_mass_has_no_clean_density():
    prior = GaussianMixture(randn(2, 3), torch.tensor([0.0, 0.3]), torch.tensor([0.5, 0.5]))
    with pytest.raises(InputError, match="sigma > 0"):
        prior.score(randn(2, 3), 0.0)
    close(prior.denoise(prior.means, 1e-5)[0], prior.means[0], 1e-12)


@pytest.mark.parametrize(
    ("means", "spread", "weights", "sentence"),
    [
        (torch.zeros(2, 3), torch.ones(2), torch.tensor([0.5, 0.6]), "sum to 1"),
        (torch.zeros(2, 3), torch.ones(2), torch.tensor([1.5, -0.5]), ">= 0"),
        (torch.zeros(2, 3), torch.ones(2), torch.ones(1), "one weight for each"),
        (torch.zeros(2, 3), torch.ones(2), torch.tensor([0.5, torch.nan]), "NaN"),
        (torch.zeros(2, 3), torch.ones(3), torch.tensor([0.5, 0.5]), "need variances"),
        (torch.zeros(2, 3), torch.ones(2, 2, 2), torch.tensor([0.5, 0.5]), "need variances"),
        (torch.zeros(2, 3), torch.tensor([1.0, -1.0]), torch.tensor([0.5, 0.5]), "variance is >= 0"),
        (torch.zeros(2, 3), -torch.eye(3).expand(2, 3, 3), torch.tensor([0.5, 0.5]), "semi-definite"),
        (torch.zeros(2, 3) + torch.nan, torch.ones(2), torch.tensor([0.5, 0.5]), "NaN"),
        (torch.zeros(2), torch.ones(2), torch.tensor([0.5, 0.5]), "means"),
        (torch.zeros(2, 3) + 0j, torch.ones(2), torch.tensor([0.5, 0.5]), "real"),
    ],
)
def test_refuses(means, spread, weights, sentence):
    with pytest.raises(InputError, match=sentence):
        GaussianMixture(means, spread, weights)
