"""Wasserstein distances against their closed forms, and what exact draws read."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.calibration import floor, gaussian_w2, sliced_wasserstein
from scorefield.errors import InputError
from support import complex_normal, normal


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def covariance(d: int, seed: int) -> Tensor:
    root = normal(d, d, seed=seed)
    return root @ root.T / d


# --- slices


def test_slices_in_one_dimension_are_the_distance_of_order_statistics():
    a, b = normal(50, 1), 3 * normal(50, 1, seed=1) + 1
    exact = (a.sort(0).values - b.sort(0).values).square().mean().sqrt()
    torch.testing.assert_close(sliced_wasserstein(a, b, directions=7, generator=g()), exact)
    best = min((a[torch.randperm(50, generator=g(i))] - b).square().mean().sqrt() for i in range(200))
    assert exact < best  # no other pairing is closer


def test_slices_ignore_the_order_of_the_draws_and_turn_with_the_space():
    a, b = normal(40, 2, 3), normal(40, 2, 3, seed=1) + 0.5
    result = sliced_wasserstein(a, b, generator=g())
    assert torch.equal(result, sliced_wasserstein(b, a, generator=g()))
    shuffled = sliced_wasserstein(a[torch.randperm(40, generator=g(3))], b, generator=g())
    torch.testing.assert_close(result, shuffled)
    assert sliced_wasserstein(a, a.flip(0), generator=g()) == 0


@pytest.mark.parametrize("d", [2, 30])
def test_a_shift_reads_its_length_over_the_root_of_the_dimension(d):
    """E (theta . v)^2 = |v|^2/d, with variance 2 (d - 1)/(d^2 (d + 2)) for a unit vector v."""
    directions, a = 4000, normal(5, d)
    shift = normal(d, seed=2)
    result = sliced_wasserstein(a, a + shift, directions=directions, generator=g()) ** 2 * d / shift.square().sum()
    assert abs(result.item() - 1) < 5 * math.sqrt(2 * (d - 1) / (d + 2) / directions)


def test_complex_draws_are_pairs():
    a, b = complex_normal(30, 4), complex_normal(30, 4, seed=1)
    pairs = [torch.view_as_real(v).flatten(1) for v in (a, b)]
    assert torch.equal(sliced_wasserstein(a, b, generator=g()), sliced_wasserstein(*pairs, generator=g()))


@pytest.mark.parametrize(
    ("a", "b", "directions"),
    [
        (normal(4, 2), normal(5, 2), 1),
        (normal(4), normal(4), 1),
        (normal(0, 2), normal(0, 2), 1),
        (normal(4, 2),) * 2 + (0,),
    ],
)
def test_samples_that_do_not_pair_are_refused(a, b, directions):
    with pytest.raises(InputError):
        sliced_wasserstein(a, b, directions=directions, generator=g())


# --- Gaussians


def test_gaussians_with_common_axes():
    """The roots of the variances are subtracted: |m|^2 + sum (s - t)^2."""
    basis = torch.linalg.qr(normal(4, 4)).Q
    s, t = normal(4, seed=1).abs(), torch.tensor([0.0, 1.0, 2.0, 0.3], dtype=torch.float64)
    first, second = (basis @ v.square().diag() @ basis.T for v in (s, t))
    mean, other = normal(4, seed=2), normal(4, seed=3)
    exact = ((mean - other).square().sum() + (s - t).square().sum()).sqrt()
    torch.testing.assert_close(gaussian_w2(mean, first, other, second), exact, rtol=1e-7, atol=0)


def test_gaussians_are_a_metric():
    means, covariances = normal(3, 5), [covariance(5, seed) for seed in range(3)]
    d = [[gaussian_w2(means[i], covariances[i], means[j], covariances[j]).item() for j in range(3)] for i in range(3)]
    for i in range(3):
        assert d[i][i] < 1e-6  # the root of round-off
        for j in range(3):
            assert d[i][j] == pytest.approx(d[j][i], abs=1e-6)
            assert d[i][j] <= d[i][0] + d[0][j] + 1e-6


def test_the_optimal_map_has_that_cost():
    """T = C_a^-1/2 (C_a^1/2 C_b C_a^1/2)^1/2 C_a^-1/2 carries one Gaussian into the other: E |x - T x|^2."""

    def power(c: Tensor, p: float) -> Tensor:
        values, vectors = torch.linalg.eigh(c)
        return vectors * values**p @ vectors.T

    first, second = covariance(5, 0), covariance(5, 1)
    root, back = power(first, 0.5), power(first, -0.5)
    carry = back @ power(root @ second @ root, 0.5) @ back
    torch.testing.assert_close(carry @ first @ carry.T, second)
    moved = torch.eye(5, dtype=torch.float64) - carry
    exact = torch.trace(moved @ first @ moved.T).sqrt()
    zero = torch.zeros(5, dtype=torch.float64)
    torch.testing.assert_close(gaussian_w2(zero, first, zero, second), exact)


def test_slices_of_gaussians_stay_below_the_distance():
    """SW^2 <= W^2/d, with equality for a shift or a dilation of a common shape, whatever the draws."""
    a = normal(500, 3)
    result = sliced_wasserstein(a, 2 * a + 1, directions=4000, generator=g())
    shared = (a + 1).square().mean(0).sum()
    assert result**2 == pytest.approx((shared / 3).item(), rel=0.05)
    assert result**2 < shared


def test_shapes_that_are_no_gaussian_are_refused():
    eye = torch.eye(2)
    for wrong in ((torch.zeros(2), eye, torch.zeros(3), eye), (torch.zeros(1, 2), eye, torch.zeros(1, 2), eye)):
        with pytest.raises(InputError):
            gaussian_w2(*wrong)


# --- the floor


def test_the_floor_of_a_known_distance():
    """The distance of two means of n numbers is |N(0, 2/n)|: sqrt(4/(pi n)) on average."""
    n = 25
    result = floor(
        lambda a, b: (a.mean() - b.mean()).abs(),
        lambda n, generator: torch.randn(n, 1, generator=generator, dtype=torch.float64),
        n,
        repeats=4000,
        generator=g(),
    )
    assert abs(result.mean - math.sqrt(4 / (math.pi * n))) < 4 * result.error
    assert result.error == pytest.approx(math.sqrt(2 / n * (1 - 2 / math.pi) / 4000), rel=0.1)


def test_a_floor_needs_two_pairs():
    with pytest.raises(InputError):
        floor(lambda a, b: a.sum(), lambda n, generator: torch.zeros(n, 1), 3, repeats=1, generator=g())
