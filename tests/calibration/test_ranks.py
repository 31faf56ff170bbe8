"""Ranks and their tests: exact laws of exact samplers, by enumeration or Monte Carlo."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from scorefield.calibration import (
    Bands,
    chi_square,
    ecdf_bands,
    ecdf_test,
    rank_counts,
    tarp_coverage,
    tarp_ranks,
    truth_ranks,
)
from scorefield.calibration.ranks import probability_within
from scorefield.errors import InputError
from support import normal


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exchangeable(scans: int, n: int, *shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Truth and draws of one skewed law, another in every scan."""
    values = torch.exp(normal(scans, n + 1, *shape, seed=seed)) * (1 + normal(scans, 1, *shape, seed=seed + 1).abs())
    return values[:, 1:], values[:, 0]


def test_ranks_count_the_draws_below():
    draws = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert truth_ranks(draws, torch.tensor([2.5, 0.0]), generator=generator()).tolist() == [2, 0]


def test_ties_are_broken_evenly():
    """All equal: the rank is uniform on 0 ... n."""
    n, scans = 3, 8000
    result = truth_ranks(torch.zeros(scans, n), torch.zeros(scans), generator=generator())
    counts = rank_counts(result, n).double()
    assert float((counts - scans / 4).square().sum() / (scans / 4)) < 25  # chi-square of 3 degrees, p = 2e-5


def test_ranks_of_exchangeable_draws_are_uniform_and_others_are_not():
    draws, truth = exchangeable(2000, 9)
    good = truth_ranks(draws, truth, generator=generator())
    narrow = truth_ranks(
        draws.mean(1, keepdim=True) + 0.7 * (draws - draws.mean(1, keepdim=True)), truth, generator=generator()
    )
    for test in (chi_square, ecdf_test):
        assert test(good, 9).p_value > 1e-4
        assert test(narrow, 9).p_value < 1e-6


def test_chi_square_is_scipys():
    result = torch.randint(0, 10, (300,), generator=generator())
    expected = chisquare(np.bincount(result.numpy(), minlength=10))
    assert chi_square(result, 9) == pytest.approx((expected.statistic, expected.pvalue))


def test_chi_square_merges_bins_until_five_are_expected():
    result = torch.arange(20)
    # 20 ranks: four bins of five, each with its five
    assert chi_square(result, 19) == pytest.approx((0.0, 1.0))


def counts_below(sequence: tuple[int, ...], n: int) -> np.ndarray:
    return np.array([sum(r < i for r in sequence) for i in range(1, n + 1)])


@pytest.mark.parametrize(("scans", "n"), [(4, 2), (3, 4)])
def test_theprobability_within_of_bands_is_that_of_enumeration(scans, n):
    every = [counts_below(sequence, n) for sequence in product(range(n + 1), repeat=scans)]
    rng = np.random.default_rng(0)
    for _ in range(20):
        low = rng.integers(0, scans, n)
        high = np.minimum(low + rng.integers(0, scans, n), scans)
        inside = np.mean([bool(((low <= c) & (c <= high)).all()) for c in every])
        assert probability_within(Bands(low, high), scans) == pytest.approx(inside)


def test_bands_hold_with_the_statedprobability_within():
    scans, n, level, repeats = 60, 12, 0.9, 4000
    bands = ecdf_bands(scans, n, level)
    sequences = torch.randint(0, n + 1, (repeats, scans), generator=generator())
    counts = torch.stack([(sequences < i).sum(1) for i in range(1, n + 1)], 1).numpy()
    share = float(((bands.low <= counts) & (counts <= bands.high)).all(1).mean())
    exact = probability_within(bands, scans)
    assert level <= exact < level + 0.05  # counts are whole numbers
    assert abs(share - exact) < 4.5 * math.sqrt(exact * (1 - exact) / repeats)


@pytest.mark.parametrize(("scans", "n"), [(4, 3), (5, 2)])
def test_the_ecdf_test_is_exact(scans, n):
    """p-values of all rank sequences: P(p <= a) <= a, with equality at every attained a."""
    p = np.array([ecdf_test(torch.tensor(s), n).p_value for s in product(range(n + 1), repeat=scans)])
    for a in np.unique(p.round(10)):
        assert np.mean(p <= a + 1e-9) == pytest.approx(a, abs=1e-9)


def test_tarp_ranks_count_the_nearer_draws():
    draws = torch.tensor([[[1.0, 0.0], [0.0, 3.0], [5.0, 0.0]]])
    assert tarp_ranks(draws, torch.tensor([[0.0, 4.0]]), torch.zeros(1, 2)).tolist() == [2]


def test_tarp_of_exchangeable_draws_is_uniform_and_of_others_is_not():
    scans, n, d = 1500, 9, 5
    draws, truth = exchangeable(scans, n, d)
    references = truth.roll(1, 0)
    good = tarp_ranks(draws, truth, references)
    assert ecdf_test(good, n).p_value > 1e-4
    levels = torch.linspace(0, 1, n + 2)
    covered = tarp_coverage(good, n, levels)
    assert bool(((covered - levels).abs() < 4.5 * (0.25 / scans) ** 0.5).all())
    assert covered[0] == 0
    assert covered[-1] == 1
    mean = draws.mean(1, keepdim=True)
    assert ecdf_test(tarp_ranks(mean + 0.6 * (draws - mean), truth, references), n).p_value < 1e-6


def test_tarp_sees_a_correlation_that_ranks_of_coordinates_cannot():
    """Right margins, wrong sign of the correlation."""
    scans, n = 2000, 9
    mix = torch.tensor([[1.0, 0.0], [0.9, math.sqrt(1 - 0.81)]], dtype=torch.float64)
    truth = normal(scans, 2, seed=1) @ mix.T
    draws = normal(scans, n, 2, seed=2) @ (mix * torch.tensor([[1.0], [-1.0]])).T
    for i in range(2):
        assert ecdf_test(truth_ranks(draws[..., i], truth[..., i], generator=generator()), n).p_value > 1e-4
    references = torch.tensor([2.0, 2.0], dtype=torch.float64).expand(scans, 2)
    assert ecdf_test(tarp_ranks(draws, truth, references), n).p_value < 1e-6


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: truth_ranks(normal(3, 4), normal(4), generator=generator()),
        lambda: truth_ranks(normal(3, 4) + 0j, normal(3) + 0j, generator=generator()),
        lambda: truth_ranks(normal(3, 4) / 0, normal(3), generator=generator()),
        lambda: rank_counts(torch.tensor([3]), 2),
        lambda: chi_square(torch.tensor([1, 2, 0]), 2),
        lambda: ecdf_bands(10, 5, 1.0),
        lambda: ecdf_test(torch.zeros(0, dtype=torch.long), 4),
        lambda: tarp_ranks(normal(3, 4, 2), normal(3, 2), normal(2, 2)),
    ],
)
def test_wrong_input_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()
