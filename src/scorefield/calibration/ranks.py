r"""The rank of a truth among its draws, and tests that ranks are uniform.

If the truth and n draws come from one law, the number of draws below the truth is uniform on 0 ... n, whatever that
law is.  If truths are drawn from a prior and data from the truths, this tests the sampler (simulation-based
calibration).  A histogram of ranks like a bowl means that the draws vary too little; like a hump, that they vary too
much; a slope means a bias.

There are two tests of uniformity for the ranks of *independent* scans: chi-square on bins, and simultaneous bands for
the counts :math:`C_i = \#\{\mathrm{rank} < i\}`.  Each count is binomial with probability :math:`i/(n+1)`.  Along i the
counts are a Markov chain, so the probability that all of them stay within pointwise intervals is a product of sums;
bisection finds the pointwise level that gives the bands their probability.

References:
    Talts, Betancourt, Simpson, Vehtari, Gelman, "Validating Bayesian inference algorithms with simulation-based
    calibration", arXiv 1804.06788; Saeilynoja, Buerkner, Vehtari, "Graphical test for discrete uniformity", Statistics
    and Computing 2022, arXiv 2103.10522.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scorefield.errors import InputError

EXPECTED = 5.0  # least expected count of a chi-square bin (Cochran 1954)
HALVINGS = 30  # of the range of the pointwise level: down to 1e-9 of it
Counts = NDArray[np.int64]


class Uniformity(NamedTuple):
    """The result of a test that ranks are uniform.

    Args:
        statistic: the value of the test's statistic.
        p_value: the probability of a value at least as extreme if the ranks are uniform.
    """

    statistic: float
    p_value: float


class Bands(NamedTuple):
    """Simultaneous bounds of the counts ``#{rank < i}``, i = 1 ... n.

    Args:
        low: smallest counts (n,).
        high: largest counts (n,).
    """

    low: Counts
    high: Counts


def truth_ranks(draws: Tensor, truth: Tensor, *, generator: torch.Generator) -> Tensor:
    """Rank of the truth among the draws, 0 ... n, for every scan and quantity: (scans, *quantities).

    Args:
        draws: real numbers (scans, n, *quantities).
        truth: (scans, *quantities).
        generator: breaks ties at random.

    Raises:
        InputError: shapes that do not fit, complex or non-finite numbers.
    """
    check_scans(draws, truth)
    first, last = (draws < truth.unsqueeze(1)).sum(1), (draws <= truth.unsqueeze(1)).sum(1)
    coin = torch.rand(first.shape, generator=generator, device=generator.device).to(draws.device)
    return torch.minimum(first + (coin * (last - first + 1)).long(), last)


def rank_counts(ranks: Tensor, n: int) -> Tensor:
    """The number of times that each rank 0 ... n occurs among ``ranks``, of any shape: (n + 1,).

    Raises:
        InputError: a rank outside 0 ... n.
    """
    if n < 1 or bool(((ranks < 0) | (ranks > n)).any()):
        raise InputError(f"Ranks among n = {n} draws are 0 ... n; pass the number of draws of each scan.")
    return torch.bincount(ranks.flatten(), minlength=n + 1)


def chi_square(ranks: Tensor, n: int) -> Uniformity:
    """Chi-square test of independent ranks (scans,), on as many equal bins as expect at least 5 ranks each.

    Raises:
        InputError: fewer than 10 ranks, or ranks outside 0 ... n.
    """
    from scipy.stats import chi2

    counts = rank_counts(ranks, n).cpu().double()
    total = int(counts.sum())
    if total < 2 * EXPECTED:
        raise InputError(f"A chi-square test of ranks needs at least 10 scans, got {total}; simulate more.")
    bins = min(n + 1, int(total // EXPECTED))
    edges = torch.linspace(0, n + 1, bins + 1).round().long()
    observed = torch.stack([counts[a:b].sum() for a, b in pairwise(edges)])
    expected = total * edges.diff().double() / (n + 1)
    statistic = float(((observed - expected).square() / expected).sum())
    return Uniformity(statistic, float(chi2.sf(statistic, bins - 1)))


def ecdf_bands(scans: int, n: int, level: float = 0.95) -> Bands:
    """Simultaneous bands for the counts of uniform ranks.

    Args:
        scans: number of independent scans.
        n: number of draws of each.
        level: probability that all counts lie within the bands.

    Raises:
        InputError: no scans or draws, or a level outside (0, 1).
    """
    if scans < 1 or n < 1 or not 0 < level < 1:
        raise InputError(f"Bands need scans >= 1, n >= 1 and 0 < level < 1, got {scans}, {n} and {level:g}.")
    low, high = 0.0, 1 - level  # pointwise intervals of this tail hold all at once with probability >= and < level
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if probability_within(_pointwise(scans, n, middle), scans) >= level else (low, middle)
        )
    return _pointwise(scans, n, low)


def ecdf_test(ranks: Tensor, n: int) -> Uniformity:
    """Test of independent ranks (scans,) by their most extreme count; exact for every number of scans and draws.

    The statistic is the smallest two-sided pointwise probability of a count.  At that level the counts touch the
    bands.

    Raises:
        InputError: no ranks, or ranks outside 0 ... n.
    """
    from scipy.stats import binom

    counts = rank_counts(ranks, n).cpu().numpy()
    scans = int(counts.sum())
    if not scans:
        raise InputError("There are no ranks to test; pass one for each scan.")
    below, p = counts.cumsum()[:-1], np.arange(1, n + 1) / (n + 1)
    extreme = float(np.minimum(binom.cdf(below, scans, p), binom.sf(below - 1, scans, p)).min())
    # the paths that stay less extreme everywhere: their counts have both tails above the observed one
    grid = np.arange(scans + 1)[:, None]
    inside = np.minimum(binom.cdf(grid, scans, p), binom.sf(grid - 1, scans, p)) > extreme * (1 + 1e-9)
    low = np.where(inside.any(0), inside.argmax(0), 1)
    high = np.where(inside.any(0), scans - inside[::-1].argmax(0), 0)
    return Uniformity(min(1.0, 2 * extreme), 1 - probability_within(Bands(low, high), scans))


def probability_within(bands: Bands, scans: int) -> float:
    """The probability that the counts of uniform ranks stay within the bands.

    Each count, given the count before it, is binomial.

    Args:
        bands: bounds of the counts.
        scans: number of independent scans.
    """
    from scipy.stats import binom

    n = len(bands.low)
    reached, law = np.zeros(1, dtype=np.int64), np.ones(1)
    for i, (low, high) in enumerate(zip(bands.low, bands.high, strict=True)):
        values = np.arange(low, high + 1)
        # scans - reached ranks are uniform on i ... n, and the next count takes those equal to i
        steps = binom.pmf(values[:, None] - reached, scans - reached, 1 / (n + 1 - i))
        reached, law = values, steps @ law
    return float(law.sum())


def check_scans(draws: Tensor, truth: Tensor) -> None:
    """Check that draws (scans, n, *quantities) and truths (scans, *quantities) fit together.

    Raises:
        InputError: shapes that do not fit, complex or non-finite numbers.
    """
    if draws.ndim < 2 or draws.shape[:1] + draws.shape[2:] != truth.shape or 0 in draws.shape[:2]:
        raise InputError(
            f"Draws (scans, n, *quantities) and truths (scans, *quantities) have shapes {tuple(draws.shape)} and"
            f" {tuple(truth.shape)}; stack one of each for every scan."
        )
    if draws.is_complex() or truth.is_complex():
        raise InputError("Complex numbers have no order; pass magnitudes or real parts.")
    if not (bool(draws.isfinite().all()) and bool(truth.isfinite().all())):
        raise InputError("The draws or truths hold NaN or infinity; mask or repair them first.")


def _pointwise(scans: int, n: int, tail: float) -> Bands:
    """Central binomial intervals of every count, ``tail`` outside of each."""
    from scipy.stats import binom

    p = np.arange(1, n + 1) / (n + 1)
    low, high = binom.ppf(tail / 2, scans, p), binom.ppf(1 - tail / 2, scans, p)
    return Bands(np.maximum(low, 0).astype(np.int64), high.astype(np.int64))
