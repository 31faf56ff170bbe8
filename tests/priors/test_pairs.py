"""Pairs of neighbors: total variation and Gaussian fields are two of them; tables are exact between their nodes where
the score is bilinear."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Score
from scorefield.priors import Gaussian, Kde, Pairs, Tabulated, TotalVariation
from support import normal


class Bilinear(Score):
    """``(a b, a - 2 b)`` at the pair (a, b)."""

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        a, b = x.unbind(-1)
        return torch.stack([a * b, a - 2 * b], -1)


@pytest.mark.parametrize("shape", [(2, 1, 5, 4), (2, 2, 6), (1, 1, 3, 4, 5), (1, 1, 1, 1)])
def test_total_variation_is_a_law_of_pairs(shape):
    x = normal(*shape)
    found = Pairs(TotalVariation(1.7), weight=1.0).score(x, 0.0)
    torch.testing.assert_close(found, TotalVariation(1.7).score(x, 0.0))


def test_gaussian_pairs_are_the_explicit_matrix():
    """``-w sum G^T (C + sigma^2)^-1 G`` over all pairs written out, the earlier pixel first, a level an image."""
    covariance = torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=torch.float64)  # not alike in its two pixels
    prior = Pairs(Gaussian(torch.zeros(2, dtype=torch.float64), covariance), weight=0.3)
    number = torch.arange(12).reshape(3, 4)
    pairs = torch.cat(
        [
            torch.stack([number[:-1].flatten(), number[1:].flatten()], 1),
            torch.stack([number[:, :-1].flatten(), number[:, 1:].flatten()], 1),
        ]
    )
    assert len(pairs) == 17
    x, sigmas = normal(2, 1, 3, 4), torch.tensor([0.2, 0.9], dtype=torch.float64)
    for image, sigma, found in zip(x, sigmas, prior.score(x, sigmas), strict=True):
        precision = torch.linalg.inv(covariance + sigma**2 * torch.eye(2))
        total = torch.zeros(12, 12, dtype=torch.float64)
        for pair in pairs:
            extract = torch.eye(12, dtype=torch.float64)[pair]
            total += extract.T @ precision @ extract
        torch.testing.assert_close(found.flatten(), -0.3 * total @ image.flatten())
    torch.testing.assert_close(prior.score(x, 0.9)[1:], prior.score(x, sigmas)[1:])


def test_a_bilinear_score_is_exact_and_stops_at_the_border():
    table = Tabulated(Bilinear(), 0.0, low=-1, high=2, nodes=4)
    x = torch.tensor([[0.3, 1.9], [-1.0, 2.0], [1.25, -0.5]], dtype=torch.float64)
    torch.testing.assert_close(table.score(x, 0.7), Bilinear().score(x, 0.0))
    outside = torch.tensor([[5.0, 0.5], [-3.0, 7.0]], dtype=torch.float64)
    torch.testing.assert_close(table.score(outside, 0.0), Bilinear().score(outside.clamp(-1, 2), 0.0))


def test_interpolation_is_of_second_order():
    kde, x = Kde(normal(30, 2), 0.3), 0.8 * normal(200, 2, seed=1).clamp(-2, 2)
    exact = kde.score(x, 0.2)
    errors = [
        (Tabulated(kde, 0.2, low=-2, high=2, nodes=n).score(x, 0.0) - exact).square().mean().sqrt().item()
        for n in (41, 81, 161)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.3)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.3)


def test_single_precision_and_levels():
    table = Tabulated(Kde(normal(5, 2), 0.5), 0.1, low=-1, high=1)
    assert Pairs(table).score(normal(1, 1, 4, 4).float(), 0.3).dtype == torch.float32
    assert table.event_shape == (2,)
    with pytest.raises(InputError, match="sigma"):
        table.score(normal(3, 2), -1.0)


def test_what_is_refused():
    for weight in (0.0, -1.0, math.inf):
        with pytest.raises(InputError, match="weight"):
            Pairs(TotalVariation(1.0), weight=weight)
    with pytest.raises(InputError, match="spatial"):
        Pairs(TotalVariation(1.0)).score(normal(3, 2), 0.0)
    for low, high, nodes in ((1, 1, 5), (0, math.inf, 5), (0, 1, 1)):
        with pytest.raises(InputError, match="table"):
            Tabulated(TotalVariation(1.0), 0.0, low=low, high=high, nodes=nodes)
