"""Coverage, spread and recalibration: closed forms for Gaussian draws, and exactness for exchangeable ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from scoringrules import crps_ensemble

from scorefield.calibration import (
    LEVELS,
    interval_coverage,
    needed_factors,
    recalibrated,
    recalibration_factor,
    spread_skill,
)
from scorefield.errors import InputError
from scorefield.metrics import crps, expected_coverage
from scorefield.samples import Samples
from support import normal

SCANS, Q = 400, 25


def scans(n: int, factor: float = 1.0, bias: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Truths N(c, 1) and draws N(c + bias, factor^2), c another in each scan; independent quantities."""
    center = 3 * normal(SCANS, 1, Q, seed=3)
    return center + bias + factor * normal(SCANS, n, Q, seed=1), center[:, 0] + normal(SCANS, Q, seed=2)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n", [4, 19, 39])
def test_exact_draws_cover_what_is_expected_of_them(n, level):
    result = interval_coverage(*scans(n), level)
    assert result.expected == expected_coverage(n, level)
    assert abs(result.z) < 4.5
    assert result.error == pytest.approx(math.sqrt(result.expected * (1 - result.expected) / (SCANS * Q)), rel=0.25)


def test_the_error_of_a_coverage_is_between_scans():
    """Quantities that all agree are one quantity."""
    draws, truth = scans(19)
    single = interval_coverage(draws[..., :1], truth[..., :1])
    repeated = interval_coverage(draws[..., :1].expand(-1, -1, Q), truth[..., :1].expand(-1, Q))
    assert repeated.observed == pytest.approx(single.observed)
    assert repeated.error == pytest.approx(single.error, rel=1e-3)


def test_narrow_draws_cover_the_gaussian_integral():
    """Many draws N(0, 1/4) of a truth N(0, 1): the 90 % interval covers 2 Phi(z/2) - 1."""
    result = interval_coverage(*scans(999, 0.5), 0.9)
    wanted = 2 * norm.cdf(0.5 * norm.ppf(0.95)) - 1
    assert abs(result.observed - wanted) < 4.5 * result.error + 0.002  # the ends of 999 draws vary by 0.05


@pytest.mark.parametrize("n", [2, 5, 40])
def test_spread_matches_skill_for_any_number_of_draws(n):
    result = spread_skill(*scans(n))
    # relative errors: of the mean square error sqrt(2 / N), of the mean variance sqrt(2 / (n - 1) / N)
    error = 0.5 * math.sqrt(2 / (SCANS * Q) * (1 + 1 / (n - 1)))
    assert abs(result.ratio - 1) < 4.5 * error


def test_spread_and_error_are_what_they_are_called():
    result = spread_skill(*scans(1000, 0.5, bias=2.0))
    assert result.spread == pytest.approx(0.5, rel=0.01)
    assert result.error == pytest.approx(math.sqrt(1 + 4), rel=0.05)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.6])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_factor_undoes_the_wrong_spread(factor, level):
    result = recalibration_factor(*scans(499, factor), level)
    # standard error of a quantile: sqrt(p (1 - p) / N) over the density of |N(0, 1)| / z there
    z = norm.ppf((1 + level) / 2)
    error = math.sqrt(level * (1 - level) / (SCANS * Q)) / (2 * norm.pdf(z) * z)
    assert abs(result * factor - 1) < 4.5 * error + 0.005  # ends of 499 draws


@pytest.mark.parametrize("n", [3, 19])
@pytest.mark.parametrize("level", LEVELS)
def test_recalibrated_draws_cover_to_within_one_truth(n, level):
    draws, truth = scans(n, 0.6, bias=0.3)
    factor = recalibration_factor(draws, truth, level)
    mended = recalibrated(Samples(draws.transpose(0, 1)), factor).draws.transpose(0, 1)
    result = interval_coverage(mended, truth, level)
    assert abs(result.observed - result.expected) <= 1.01 / truth.numel()


def test_recalibration_leaves_the_mean_and_scales_the_spread():
    samples = Samples(normal(7, 1, 4, 4), provenance={"seed": 3})
    mended = recalibrated(recalibrated(samples, 1.5), 2.0)
    torch.testing.assert_close(mended.mean, samples.mean)
    torch.testing.assert_close(mended.std, 3 * samples.std)
    assert mended.provenance == {"seed": 3, "recalibrated": 3.0}
    assert mended.cost is samples.cost


def test_needed_factors_are_where_the_interval_meets_the_truth():
    draws = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0]]).double()  # interval (0, 4) at level 2/3
    for truth, wanted in ((6.0, 2.0), (4.0, 1.0), (1.0, 0.5), (2.0, 0.0)):
        assert needed_factors(draws, torch.tensor([truth]).double(), 2 / 3).item() == pytest.approx(wanted)


def test_no_factor_mends_draws_that_do_not_vary():
    with pytest.raises(InputError, match="intervals of width 0"):
        recalibration_factor(torch.zeros(10, 5), torch.ones(10))


def test_crps_of_draws_is_that_of_scoringrules():
    draws, truth = normal(12, 1, 5, 5), normal(1, 5, 5, seed=4)
    wanted = crps_ensemble(truth.numpy(), np.moveaxis(draws.numpy(), 0, -1), estimator="fair").mean()
    assert crps(Samples(draws), truth) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: interval_coverage(normal(1, 5, 2), normal(1, 2)),
        lambda: interval_coverage(normal(4, 1, 2), normal(4, 2)),
        lambda: spread_skill(normal(4, 1, 2), normal(4, 2)),
        lambda: recalibration_factor(normal(4, 1, 2), normal(4, 2)),
        lambda: recalibrated(Samples(normal(3, 2)), 0.0),
        lambda: recalibrated(Samples(normal(3, 2)), math.inf),
    ],
)
def test_wrong_input_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()
