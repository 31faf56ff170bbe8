"""Gaussian mixtures on patches: the closed form of the mixture prior, and expectation maximization."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.nets import OffsetInvariant, PatchMixture
from scorefield.priors import FieldOfExperts, GaussianMixture, Network, Unitless
from support import normal

LEVELS = torch.tensor([0.05, 0.4, 2.0], dtype=torch.float64)


def covariances(count: int, pixels: int) -> Tensor:
    root = normal(count, pixels, pixels, seed=3)
    return root @ root.mT / pixels * torch.logspace(-1.5, 0, count, dtype=torch.float64).reshape(-1, 1, 1)


def mixture(*, hard: bool = False) -> tuple[PatchMixture, GaussianMixture]:
    """The same three components as a network and as a prior."""
    given = covariances(3, 4)
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    net = PatchMixture(size=2, components=3, hard=hard).double()
    net.values, net.bases = torch.linalg.eigh(given)
    net.weights = weights
    return net, GaussianMixture(torch.zeros(3, 1, 2, 2, dtype=torch.float64), given, weights)


def test_it_is_the_mixture_prior():
    """C13 and the closed form of mixtures: one log-density, one score, at every level."""
    net, exact = mixture()
    x = normal(3, 1, 2, 2)
    torch.testing.assert_close(Network(net, Unitless()).score(x, LEVELS), exact.score(x, LEVELS))
    for sigma in (0.0, 0.4):
        torch.testing.assert_close(net.log_prob(x, sigma), exact.log_prob(x, sigma))


def test_the_hard_one_is_the_most_probable_components_wiener_filter():
    net, _ = mixture(hard=True)
    x, sigma = normal(50, 1, 2, 2), 0.3
    given, weights = covariances(3, 4), net.weights
    noisy = given + sigma**2 * torch.eye(4)
    v = x.flatten(1)
    logs = torch.stack(
        [
            w.log() - 0.5 * (v @ torch.linalg.inv(c) * v).sum(1) - 0.5 * torch.logdet(c)
            for w, c in zip(weights, noisy, strict=True)
        ],
        1,
    )
    chosen = logs.argmax(1)
    assert len(chosen.unique()) == 3
    wiener = given @ torch.linalg.inv(noisy)
    expected = (wiener[chosen] @ v[:, :, None]).reshape(x.shape)
    torch.testing.assert_close(Network(net, Unitless()).denoise(x, sigma), expected)


def test_expectation_maximization_climbs_and_finds_the_truth():
    """Two components of the same shape and very different size: each parameter within 5 standard errors."""
    n, shape = 20_000, covariances(1, 4)[0]
    root, generator = torch.linalg.cholesky(shape), torch.Generator().manual_seed(0)
    large = torch.rand(n, generator=generator) < 0.3
    scale = torch.where(large, 10.0, 0.3).double()
    patches = (scale[:, None] * (normal(n, 4, seed=5) @ root.T)).reshape(n, 1, 2, 2)
    net = PatchMixture(size=2, components=2).double()
    history = net.fit(patches, generator, iterations=40)
    assert all(b >= a - 1e-6 for a, b in pairwise(history))
    assert history[-1] == pytest.approx(net.log_prob(patches).mean().item())
    small, big = net.values.sum(1).argsort().tolist()
    assert net.weights[big].item() == pytest.approx(0.3, abs=5 * math.sqrt(0.3 * 0.7 / n))
    for k, size, share in ((small, 0.3, 0.7), (big, 10.0, 0.3)):
        result = net.bases[k] * net.values[k] @ net.bases[k].T / size**2
        error = (shape.diag()[:, None] * shape.diag() + shape.square()).sqrt() / math.sqrt(share * n)
        assert bool(((result - shape).abs() < 6 * error).all())  # a few patches could be of either


def test_patches_less_their_mean_have_a_singular_covariance():
    net = PatchMixture(size=2, components=2).double()
    patches = normal(500, 1, 2, 2)
    patches = patches - patches.mean((2, 3), keepdim=True)
    assert all(map(math.isfinite, net.fit(patches, torch.Generator().manual_seed(0), iterations=5)))
    field = FieldOfExperts(OffsetInvariant(net))
    x = normal(1, 1, 6, 6)
    torch.testing.assert_close(field.score(x + 9, 0.2), field.score(x, 0.2))


def test_more_components_than_patches_stay_finite():
    net = PatchMixture(size=2, components=20).double()
    net.fit(normal(15, 1, 2, 2), torch.Generator().manual_seed(0), iterations=3)
    assert bool(net(normal(4, 1, 2, 2), torch.zeros(4)).isfinite().all())


def test_no_components_are_refused():
    with pytest.raises(InputError, match="at least 1 component"):
        PatchMixture(components=0)
