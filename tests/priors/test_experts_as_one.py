r"""The overlap weight, in closed form on Gaussian images, for each of the three ways to train a sum of patch scores.

Linear experts -K v make the score -w B(K) x, :math:`B(K) = \sum_c a_c M^T G_c^T K G_c M`.  With N the covariance of the
noisy images, the denoising error is, up to a constant, :math:`\sigma^4 \|(w B - N^{-1}) N^{1/2}\|_F^2`.

* Patches alone give :math:`K = (C_{patch} + \sigma^2)^{-1}`, and then :math:`w = tr B / tr(B N B)` is best.
* Trained as one, K itself makes the error smallest.  Its size is among what is free, so that the best w is 1.
* As an energy only the symmetric part of K counts; the best symmetric K is as good here, and again w = 1.
"""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from scorefield.nets import Patchwise
from scorefield.nets.overlaps import Overlaps
from scorefield.objectives import Denoising
from scorefield.prior import Prior
from scorefield.priors import Energy, FieldOfExperts, Network, Unitless
from support import normal

SIDE, SIZE = 8, 3


class Experts(nn.Module):
    """The unitless score of s_V = -K v."""

    def __init__(self, matrix: Tensor):
        super().__init__()
        self.matrix, self.size, self.channels = nn.Parameter(matrix), SIZE, 1

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        sigma = torch.exp(4 * noise).reshape(-1, 1)
        return (-sigma * (x.flatten(1) @ self.matrix.T)).reshape(x.shape)


@cache
def basis() -> Tensor:
    """B(K) for the 81 matrices K with a single 1: (81, pixels, pixels)."""
    pixels = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, 1, SIDE, SIDE)
    cut = Overlaps(SIZE).cut(pixels).reshape(SIDE**2, -1, SIZE**2)  # pixel, patch, place
    votes = Overlaps(SIZE).votes(SIDE, SIDE).reshape(-1, 1).double()
    found = torch.einsum("xca,ycb->abxy", votes * cut, cut)
    return found.reshape(-1, SIDE**2, SIDE**2)


def assembled(matrix: Tensor) -> Tensor:
    """B(K)."""
    return torch.tensordot(matrix.flatten(), basis(), dims=1)


@cache
def correlated() -> Tensor:
    """Covariance of smooth images."""
    place = torch.cartesian_prod(*[torch.arange(SIDE, dtype=torch.float64)] * 2)
    return torch.exp(-torch.cdist(place, place) / 2)


def marginal(covariance: Tensor, sigma: float) -> Tensor:
    """K of the patch in the middle."""
    grid = covariance.reshape([SIDE] * 4)[3:6, 3:6, 3:6, 3:6].reshape(SIZE**2, SIZE**2)
    return torch.linalg.inv(grid + sigma**2 * torch.eye(SIZE**2))


def noisy(covariance: Tensor, sigma: float) -> Tensor:
    return covariance + sigma**2 * torch.eye(SIDE**2)


def best_weight(matrix: Tensor, n: Tensor) -> float:
    b = assembled(matrix)
    return (torch.trace(b) / torch.trace(b @ n @ b.T)).item()


def excess(matrix: Tensor, n: Tensor) -> float:
    """``|(B - N^-1) N^1/2|^2``, the denoising error over sigma^4 that the exact denoiser does not have."""
    apart = assembled(matrix) - torch.linalg.inv(n)
    return torch.trace(apart @ n @ apart.T).item()


def whole(n: Tensor, *, symmetric: bool = False) -> Tensor:
    """The K, or the symmetric K, with the smallest excess: linear least squares."""
    root, count = torch.linalg.cholesky(n), SIZE**2
    ways = torch.eye(count**2, dtype=torch.float64).reshape(-1, count, count)
    ways = (ways + ways.mT) / 2 if symmetric else ways
    columns = torch.stack([(assembled(way) @ root).flatten() for way in ways], 1)
    target = torch.linalg.inv(n) @ root
    found = torch.linalg.lstsq(columns, target.reshape(-1, 1), driver="gelsd").solution
    return torch.tensordot(found.flatten(), ways, dims=1)


# --- the weight


@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.0])
def test_patches_alone_need_a_weight_and_experts_trained_as_one_do_not(sigma):
    n = noisy(correlated(), sigma)
    alone, together = marginal(correlated(), sigma), whole(n)
    weight = best_weight(alone, n)
    assert 1.05 < weight * SIZE**2 < SIZE**2  # neither 1/p^2 nor 1
    assert best_weight(together, n) == pytest.approx(1, abs=1e-9)
    # and one number cannot make up for what the patches leave out
    assert excess(together, n) < 0.85 * excess(weight * alone, n) < 0.85 * excess(alone / SIZE**2, n)
    gradient = whole(n, symmetric=True)
    assert best_weight(gradient, n) == pytest.approx(1, abs=1e-9)
    assert excess(gradient, n) == pytest.approx(excess(together, n))  # being a gradient costs nothing here


def test_independent_pixels_need_one_over_p_squared():
    """The limit in which patches alone and together agree."""
    sigma, tau = 0.4, 0.7
    covariance = tau**2 * torch.eye(SIDE**2, dtype=torch.float64)
    alone, n = marginal(covariance, sigma), noisy(covariance, sigma)
    assert SIZE**2 * best_weight(alone, n) == pytest.approx(1)
    assert excess(alone / SIZE**2, n) < 1e-20


def test_a_markov_field_is_found_as_one_and_not_from_patches():
    """B1: images with log-density -1/2 sum v^T K v over patches.  Without noise the whole finds that sum, and w = 1."""
    root = normal(9, 9, seed=3)
    clique = root @ root.T / 9 + 0.3 * torch.eye(9)
    precision, sigma = assembled(clique), 1e-3
    covariance = torch.linalg.inv(precision)
    n = noisy(covariance, sigma)
    size = excess(0 * clique, n)
    assert excess(whole(n), n) / size < 1e-6
    alone = marginal(covariance, sigma)
    assert excess(best_weight(alone, n) * alone, n) / size > 1e-2


# --- the library agrees


def draws(count: int, covariance: Tensor, seed: int = 0) -> Tensor:
    root = torch.linalg.cholesky(covariance)
    return (normal(count, SIDE**2, seed=seed) @ root.T).reshape(count, 1, SIDE, SIDE)


def test_finish_leaves_experts_trained_as_one_alone():
    sigma = 0.4
    n = noisy(correlated(), sigma)
    together, alone = whole(n), marginal(correlated(), sigma)
    for matrix in (together, alone):
        field = FieldOfExperts(Experts(matrix), levels=2, sigma_min=sigma, sigma_max=sigma + 1e-9)
        field.finish(list(draws(400, correlated())), torch.Generator().manual_seed(0))
        # 400 x 64 correlated pixels
        assert field.weights[0].item() == pytest.approx(best_weight(matrix, n), rel=0.05)


AS_ONE = [
    (lambda net: Network(Patchwise(net), Unitless()), False),
    (lambda net: Energy(Patchwise(net), Unitless()), True),
]


@pytest.mark.parametrize(("make", "symmetric"), AS_ONE, ids=["whole", "energy"])
def test_image_level_score_matching_is_smallest_there(make, symmetric):
    """The slope in K vanishes at the closed form within 5 standard errors, and does not at the patches' K."""
    sigma, batches = 0.4, 40

    def slopes(matrix: Tensor) -> Tensor:
        net = Experts(matrix * SIZE**2)  # Patchwise averages
        prior: Prior = make(net)
        found = []
        for k in range(batches):
            loss = Denoising(sigma)(prior, draws(100, correlated(), seed=k), torch.Generator().manual_seed(1000 + k))
            found.append(torch.autograd.grad(loss, net.matrix)[0].flatten())
        return torch.stack(found)

    def ratio(matrix: Tensor) -> float:
        each = slopes(matrix)
        return (each.mean(0) / (each.std(0) / math.sqrt(batches))).abs().max().item()

    n = noisy(correlated(), sigma)
    assert ratio(whole(n, symmetric=symmetric)) < 5
    alone = marginal(correlated(), sigma)
    assert ratio(best_weight(alone, n) * alone) > 20


def test_the_energys_experts_are_the_symmetric_part():
    x, matrix = normal(2, 1, SIDE, SIDE), normal(9, 9)
    energy = Energy(Patchwise(Experts(matrix)), Unitless())
    free = Network(Patchwise(Experts((matrix + matrix.T) / 2)), Unitless())
    torch.testing.assert_close(energy.denoise(x, 0.3), free.denoise(x, 0.3))


def test_one_network_serves_all_three():
    """Patches averaged are a field of experts at weight (t/p)^2, the same numbers from the same weights."""
    net, x = Experts(normal(9, 9)), normal(2, 1, 7, 6)
    for stride in (1, 2, 3):
        field, image = FieldOfExperts(net, stride=stride), Network(Patchwise(net, stride=stride), Unitless())
        field.weights = field.weights.double().fill_((stride / SIZE) ** 2)
        torch.testing.assert_close(field.denoise(x, 0.3), image.denoise(x, 0.3))
