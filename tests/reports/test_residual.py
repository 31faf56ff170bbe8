"""The chi-square law of the residuals of posterior draws."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield import operators
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.randomness import normal_like
from scorefield.reports import residual_check
from scorefield.samples import Samples


def gaussian_posterior(
    n: int, *, std: float = 0.3, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Samples, Measurement]:
    """Exact draws for x0 ~ N(0, I) seen through the identity: mean y / (1 + v), variance v / (1 + v)."""
    generator = torch.Generator().manual_seed(seed)
    truth = normal_like(torch.zeros(1, 1, 40, 40, dtype=dtype), generator)
    y = truth + std * normal_like(truth, generator)
    v = std**2
    draws = y / (1 + v) + math.sqrt(v / (1 + v)) * normal_like(truth.expand(n, 1, 40, 40), generator)
    return Samples(draws), Measurement(y, operators.Identity((1, 40, 40)), White(std))


@pytest.mark.parametrize(("dtype", "parts"), [(torch.float64, 1), (torch.complex128, 2)])
def test_posterior_draws_have_as_much_misfit_as_there_are_real_measurements(dtype: torch.dtype, parts: int):
    zs = []
    for seed in range(20):
        samples, measurement = gaussian_posterior(3, seed=seed, dtype=dtype)
        check = residual_check(samples, measurement)
        assert check.count == parts * 1600
        zs.append(check.zs[0])
    # independent scans: the z of one draw each are standard normal
    assert abs(sum(zs)) / math.sqrt(20) < 4
    assert 0.4 < sum(z * z for z in zs) / 20 < 2.2  # chi-square with 20 degrees of freedom, 99.9 %


def test_the_range_is_the_chi_square_law():
    from scipy.stats import chi2

    check = residual_check(*gaussian_posterior(2))
    assert check.low == pytest.approx(chi2.ppf(0.025, 1600))
    assert check.high == pytest.approx(chi2.ppf(0.975, 1600))
    assert check.z == pytest.approx((check.mean - 1600) / math.sqrt(3200))
    assert check.ratio == pytest.approx(math.sqrt(check.mean / 1600))


def test_statistics_are_weighted_by_the_noise():
    samples, measurement = gaussian_posterior(2)
    residual = measurement.y - samples.draws
    wanted = (residual.square().flatten(1).sum(1) / 0.09).tolist()
    assert residual_check(samples, measurement).statistics == pytest.approx(tuple(wanted))


def test_the_verdict_follows_the_misfit():
    samples, measurement = gaussian_posterior(4)
    fine = residual_check(samples, measurement)
    assert fine.passed
    assert fine.verdict.startswith("Consistent with the scan. ")
    low = residual_check(samples, Measurement(measurement.y, measurement.operator, White(0.27)))
    assert not low.passed
    assert low.z > 3
    assert "too low" in low.verdict
    high = residual_check(samples, Measurement(measurement.y, measurement.operator, White(0.33)))
    assert not high.passed
    assert high.z < -3
    assert "too high" in high.verdict


def test_unmeasured_samples_stored_as_zeros_do_not_count():
    keep = (torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(0)) < 0.25).double()
    samples, measurement = gaussian_posterior(2)
    masked = Measurement(keep * measurement.y, operators.Mask(keep, (1, 40, 40)), White(0.3))
    assert residual_check(samples, masked).count == int(keep.sum())


def test_measurements_that_happen_to_be_zero_count():
    """Only entries that every draw predicts as zero too were not measured."""
    samples, measurement = gaussian_posterior(2)
    y = measurement.y.clone()
    y[..., :7] = 0
    given = Measurement(y, measurement.operator, measurement.noise)
    assert residual_check(samples, given).count == 1600


def test_a_datum_that_a_draw_meets_exactly_is_a_measurement():
    """Whichever draw it is, and whether the datum is zero or not."""
    samples, measurement = gaussian_posterior(3)
    y = measurement.y.clone()
    y[..., :20] = 0
    given = Measurement(y, measurement.operator, measurement.noise)
    for met in ([0], [1], [2], [0, 2], [1, 2]):
        draws = samples.draws.clone()
        draws[met] = y.expand_as(draws[met]) if len(met) > 1 else y[0]
        assert residual_check(Samples(draws), given).count == 1600
    everything = Samples((y + 1e-3 * (y == 0)).expand(2, -1, -1, -1))
    assert residual_check(everything, given).count == 1600


def test_bad_input_is_named():
    samples, measurement = gaussian_posterior(2)
    with pytest.raises(InputError, match="shape"):
        residual_check(Samples(samples.draws[..., :20]), measurement)
    with pytest.raises(InputError, match="zero everywhere"):
        residual_check(Samples(0 * samples.draws), Measurement(0 * measurement.y, measurement.operator, White(1.0)))
