"""Metrics against independent implementations, and the laws of intervals and ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from scorefield import metrics
from scorefield.errors import InputError
from scorefield.samples import Samples


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def test_psnr_and_ssim_are_scikit_images_with_the_peak_as_data_range():
    truth, x = 3 + normal(1, 20, 24), 3 + normal(1, 20, 24, seed=1)
    a, b = truth[0].numpy(), x[0].numpy()
    assert metrics.psnr(x, truth, peak=5.0) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=5.0), abs=1e-10)
    wanted = structural_similarity(a, b, win_size=7, data_range=5.0, gaussian_weights=False)
    assert metrics.ssim(x, truth, peak=5.0) == pytest.approx(wanted, abs=1e-12)


def test_volumes_are_scored_slice_by_slice():
    truth, x = normal(1, 3, 12, 14), normal(1, 3, 12, 14, seed=1)
    slices = [metrics.ssim(x[:, i], truth[:, i], peak=2.0) for i in range(3)]
    assert metrics.ssim(x, truth, peak=2.0) == pytest.approx(np.mean(slices), abs=1e-12)


def test_psnr_falls_by_ten_times_the_logarithm_of_the_error_and_is_infinite_for_equal_images():
    truth = normal(1, 9, 9)
    assert metrics.psnr(truth + 0.1, truth, peak=1.0) == pytest.approx(20.0)
    assert metrics.psnr(truth + 0.1, truth, peak=10.0) == pytest.approx(40.0)
    assert metrics.psnr(truth, truth, peak=1.0) == math.inf


def test_nmse_is_the_relative_squared_error():
    truth = normal(2, 5, 5)
    assert metrics.nmse(1.1 * truth, truth) == pytest.approx(0.01)
    assert metrics.nmse(torch.zeros_like(truth), truth) == pytest.approx(1.0)


def test_complex_images_are_compared_by_magnitude():
    truth = torch.complex(normal(1, 10, 10), normal(1, 10, 10, seed=1))
    x = truth + 0.1
    turned = x * torch.exp(torch.tensor(0.7j))
    for metric in (metrics.psnr, metrics.ssim):
        assert metric(turned, truth, peak=2.0) == pytest.approx(metric(x.abs(), truth.abs(), peak=2.0))
        assert metric(x.abs(), truth, peak=2.0) == pytest.approx(metric(x, truth, peak=2.0))
    draws = torch.stack([turned, x, truth])
    for score in (metrics.crps, metrics.crps_ensemble):
        assert score(Samples(draws), truth) == pytest.approx(score(Samples(draws.abs()), truth.abs()))
    assert metrics.coverage(Samples(draws), truth, 0.4) == metrics.coverage(Samples(draws.abs()), truth.abs(), 0.4)
    assert metrics.coverage(Samples(-draws.abs()), truth, 0.4) == metrics.coverage(Samples(draws), truth, 0.4)


@pytest.mark.parametrize("n", [2, 5, 16])
def test_crps_is_scoringrules(n: int):
    rules = pytest.importorskip("scoringrules")
    draws, truth = normal(n, 1, 6, 7), normal(1, 6, 7, seed=1)
    members = draws.movedim(0, -1).numpy()
    fair = rules.crps_ensemble(truth.numpy(), members, estimator="fair").mean()
    plain = rules.crps_ensemble(truth.numpy(), members, estimator="nrg").mean()
    assert metrics.crps(Samples(draws), truth) == pytest.approx(fair, abs=1e-12)
    assert metrics.crps_ensemble(Samples(draws), truth) == pytest.approx(plain, abs=1e-12)


def test_fair_crps_of_a_standard_normal_is_its_closed_form_whatever_the_number_of_draws():
    # E CRPS(N(0,1), t), t ~ N(0,1): 1/sqrt(pi) (Gneiting & Raftery 2007); 4e4 pixels, std of each below 1
    for n in (2, 8):
        score = metrics.crps(Samples(normal(n, 1, 200, 200)), normal(1, 200, 200, seed=1))
        assert score == pytest.approx(1 / math.sqrt(math.pi), abs=4 * 1.0 / 200)


def test_one_draw_scores_its_absolute_error():
    truth = normal(1, 4, 4)
    assert metrics.crps_ensemble(Samples(truth[None] + 0.3), truth) == pytest.approx(0.3)
    with pytest.raises(InputError, match="two draws"):
        metrics.crps(Samples(truth[None]), truth)


@pytest.mark.parametrize(("n", "level"), [(2, 0.9), (4, 0.5), (9, 0.8), (16, 0.9), (16, 0.95), (19, 0.9), (32, 0.5)])
def test_coverage_of_exchangeable_normal_draws_is_the_expected_one(n: int, level: float):
    pixels = 300
    every = normal(n + 1, 1, pixels, pixels)
    observed = metrics.coverage(Samples(every[1:]), every[0], level)
    expected = metrics.expected_coverage(n, level)
    assert observed == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected)) / pixels + 1e-3)


@pytest.mark.parametrize(("n", "level"), [(9, 0.8), (19, 0.9), (39, 0.95), (7, 0.5)])
def test_coverage_is_nominal_for_any_law_where_the_ends_are_draws(n: int, level: float):
    assert metrics.expected_coverage(n, level) == pytest.approx(level, abs=1e-3)
    pixels = 300
    every = normal(n + 1, 1, pixels, pixels).exp()  # skewed
    observed = metrics.coverage(Samples(every[1:]), every[0], level)
    assert observed == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level)) / pixels)


def test_expected_coverage_of_many_draws_is_the_level():
    assert metrics.expected_coverage(5000, 0.9) == pytest.approx(0.9, abs=1e-3)


def test_coverage_tells_draws_that_are_too_narrow_by_the_right_amount():
    pixels, n = 200, 199
    observed = metrics.coverage(Samples(0.5 * normal(n, 1, pixels, pixels)), normal(1, pixels, pixels, seed=1), 0.9)
    expected = 2 * norm.cdf(0.5 * norm.ppf(0.95)) - 1
    assert observed == pytest.approx(expected, abs=4 * 0.5 / pixels + 0.005)


def test_a_constant_background_counts_as_expected_and_not_as_success():
    flat = torch.zeros(19, 1, 8, 8, dtype=torch.float64)
    assert metrics.coverage(Samples(flat), flat[0], 0.9) == pytest.approx(0.9)
    # the truth ties with 10 of 19 draws: ranks 0 ... 10, of which the interval spans positions 1 ... 11
    flat[10:] = 1 + torch.arange(9, dtype=torch.float64).reshape(-1, 1, 1, 1)
    assert metrics.coverage(Samples(flat), flat[0], 0.9) == pytest.approx(10 / 11)


def test_ranks_of_exchangeable_draws_are_uniform():
    n, pixels = 7, 200
    every = normal(n + 1, 1, pixels, pixels)
    histogram = metrics.rank_histogram(Samples(every[1:]), every[0])
    error = math.sqrt((1 / 8) * (7 / 8)) / pixels
    assert histogram.shape == (n + 1,)
    torch.testing.assert_close(histogram, torch.full((8,), 1 / 8, dtype=torch.float64), atol=4.5 * error, rtol=0)


def test_ranks_count_draws_below_and_spread_ties():
    draws = torch.tensor([1.0, 2.0, 2.0, 4.0], dtype=torch.float64).reshape(4, 1, 1, 1)
    for value, wanted in (
        (0.0, [1, 0, 0, 0, 0]),
        (3.0, [0, 0, 0, 1, 0]),
        (9.0, [0, 0, 0, 0, 1]),
        (2.0, [0, 1, 1, 1, 0]),
    ):
        histogram = metrics.rank_histogram(Samples(draws), torch.full((1, 1, 1), value, dtype=torch.float64))
        expected = torch.tensor(wanted, dtype=torch.float64)
        torch.testing.assert_close(histogram, expected / expected.sum())


def test_interval_width_of_normal_draws():
    samples = Samples(2.0 * normal(999, 1, 10, 10))
    wanted = 2 * 2.0 * norm.ppf(0.95)
    assert float(metrics.interval_width(samples, 0.9).mean()) == pytest.approx(wanted, rel=0.02)


def test_evaluate_gathers_the_metrics_and_records_its_peak():
    draws, truth = normal(8, 1, 12, 12), normal(1, 12, 12, seed=1)
    samples = Samples(draws)
    result = metrics.evaluate(samples, truth, level=0.8)
    peak = float(truth.abs().max())
    assert result.peak == peak
    assert result.psnr == metrics.psnr(samples.mean, truth, peak=peak)
    assert result.ssim == metrics.ssim(samples.mean, truth, peak=peak)
    assert result.nmse == metrics.nmse(samples.mean, truth)
    assert result.crps == metrics.crps(samples, truth)
    assert result.coverage == metrics.coverage(samples, truth, 0.8)
    assert result.expected_coverage == metrics.expected_coverage(8, 0.8)
    assert result.width == pytest.approx(float(metrics.interval_width(samples, 0.8).mean()))
    assert metrics.evaluate(samples, truth, peak=7.0).psnr == metrics.psnr(samples.mean, truth, peak=7.0)
    assert metrics.evaluate(Samples(draws[..., :5]), truth[..., :5]).ssim is None


def test_a_mask_confines_every_metric_to_its_region():
    truth = 2 + normal(1, 24, 24)
    draws = truth + 0.1 * normal(6, 1, 24, 24, seed=1)
    draws[..., 12:] += 5.0
    mask = torch.zeros(1, 24, 24, dtype=torch.bool)
    mask[..., :9] = True
    inside = metrics.evaluate(Samples(draws), truth, peak=4.0, mask=mask)
    part = metrics.evaluate(Samples(draws[..., :9]), truth[..., :9], peak=4.0)
    for name in ("psnr", "nmse", "crps", "coverage", "width"):
        assert getattr(inside, name) == pytest.approx(getattr(part, name)), name
    assert inside.ssim is not None
    outside = metrics.evaluate(Samples(draws), truth, peak=4.0)
    assert outside.ssim is not None
    assert inside.ssim > outside.ssim + 0.1
    wide = metrics.ssim(draws.mean(0), truth, peak=4.0, mask=torch.ones(24, dtype=torch.bool))
    assert wide == pytest.approx(outside.ssim)


def test_bad_input_is_named():
    truth, samples = normal(1, 8, 8), Samples(normal(4, 1, 8, 8))
    with pytest.raises(InputError, match="differ"):
        metrics.psnr(truth[:, :7], truth, peak=1.0)
    with pytest.raises(InputError, match="NaN"):
        metrics.psnr(truth * math.nan, truth, peak=1.0)
    with pytest.raises(InputError, match="peak"):
        metrics.psnr(truth, truth, peak=0.0)
    with pytest.raises(InputError, match="7 x 7"):
        metrics.ssim(truth[..., :6], truth[..., :6], peak=1.0)
    with pytest.raises(InputError, match="no pixel"):
        metrics.nmse(truth, truth, mask=torch.zeros(1, 8, 8))
    with pytest.raises(InputError, match="broadcast"):
        metrics.nmse(truth, truth, mask=torch.ones(3, 3))
    with pytest.raises(InputError, match="zero"):
        metrics.nmse(truth, torch.zeros_like(truth))
    with pytest.raises(InputError, match="level"):
        metrics.coverage(samples, truth, 90)
    with pytest.raises(InputError, match="two draws"):
        metrics.evaluate(Samples(truth[None]), truth)
    with pytest.raises(InputError, match="border"):
        metrics.ssim(truth, truth, peak=1.0, mask=torch.eye(8).bool() & (torch.arange(8) == 0))
    with pytest.raises(InputError, match="peak"):
        metrics.peak_of(torch.zeros(1, 2, 2))
