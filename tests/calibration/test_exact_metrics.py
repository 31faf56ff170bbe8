"""Metrics against an exact posterior: each is what its closed form says, for exact draws and for wrong ones."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from scipy.stats import binom

from scorefield.calibration import (
    Yardstick,
    benches,
    expected_moment_error,
    expected_weight_error,
    mode_weights,
    moment_error,
    sliced_wasserstein,
    weight_error,
)
from scorefield.errors import InputError
from scorefield.priors.gaussian import Gaussian
from support import normal

BENCH = benches.tb_g()
D, TRACE = 8, float(BENCH.covariance.trace())
ROOT = torch.linalg.cholesky(BENCH.covariance)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def whitened(n: int, seed: int = 0) -> torch.Tensor:
    """Numbers with mean 0 and covariance I exactly."""
    z = normal(n, D, seed=seed)
    z = z - z.mean(0)
    return z @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(z.T))).T


def test_moments_of_draws_with_chosen_moments():
    shift, scale = normal(D, seed=5), 0.8
    draws = BENCH.mean + shift + scale * whitened(400) @ ROOT.T
    result = moment_error(draws, BENCH.mean, BENCH.covariance)
    assert result.mean == pytest.approx(float(shift.norm()) / math.sqrt(TRACE))
    assert result.covariance == pytest.approx(1 - scale**2)
    assert result.trace == pytest.approx(scale**2)
    # N(m, C) to N(m + b, s^2 C): |b|^2 + (1 - s)^2 tr C
    assert result.w2 == pytest.approx(math.sqrt(float(shift.square().sum()) / TRACE + (1 - scale) ** 2))


def test_moment_errors_of_exact_draws_are_the_expected_ones():
    n, repeats, g = 50, 1000, generator()
    errors = torch.tensor(
        [moment_error(BENCH.posterior.rsample(n, g), BENCH.mean, BENCH.covariance) for _ in range(repeats)]
    )
    expected = expected_moment_error(BENCH.covariance, n)
    for column, wanted in ((errors[:, 0], expected.mean), (errors[:, 1], expected.covariance)):
        square = column.square()
        assert abs(float(square.mean()) - wanted**2) < 4.5 * float(square.std()) / math.sqrt(repeats)
    square = (errors[:, 2] - 1).square()
    assert abs(float(square.mean()) - expected.trace**2) < 4.5 * float(square.std()) / math.sqrt(repeats)


def test_moments_of_one_number():
    draws = torch.tensor([[1.0], [2.0], [3.0]])
    result = moment_error(draws, torch.tensor([0.0]), torch.tensor([[4.0]]))
    assert result == pytest.approx((1.0, 0.75, 0.25, math.sqrt(4 + 1) / 2))


N = 100


def stick() -> Yardstick:
    distance = lambda a, b: sliced_wasserstein(a, b, directions=20, generator=generator(7))  # noqa: E731
    exact = lambda n, g: BENCH.posterior.rsample(n, g)  # noqa: E731
    return Yardstick(distance, exact, N, repeats=3, pairs=300, generator=generator(2))


def test_the_score_of_exact_draws_is_one_and_its_interval_holds_one():
    yardstick, g = stick(), generator(1)
    scores = [yardstick(*(BENCH.posterior.rsample(N, g) for _ in range(8))) for _ in range(40)]
    held = sum(score.low < 1 < score.high for score in scores)
    assert binom.cdf(held, len(scores), 0.95) > 1e-4  # the floor, which all scores share, is known to 2 %
    values = torch.tensor([score.value for score in scores])
    error = math.hypot(float(values.std()) / math.sqrt(len(scores)), yardstick.floor.error / yardstick.floor.mean)
    assert abs(float(values.mean()) - 1) < 4.5 * error


def test_a_score_sees_an_excess_of_twenty_per_cent():
    """``kappa`` copies of each draw have a distance that is larger by ``sqrt((1 + kappa) / 2)``: 1.22 for two."""
    yardstick, g = stick(), generator(1)
    scores = [yardstick(*(BENCH.posterior.rsample(N // 2, g).repeat(2, 1) for _ in range(8))) for _ in range(20)]
    values = torch.tensor([score.value for score in scores])
    assert float(values.mean()) == pytest.approx(math.sqrt(1.5), abs=0.05)
    assert sum(score.low > 1 for score in scores) >= 14


def test_a_shift_of_the_draws_is_seen():
    score = stick()(*(BENCH.posterior.rsample(N, generator(k)) + 0.5 for k in range(8)))
    assert score.low > 2


def test_a_score_needs_several_seeds_of_as_many_draws():
    yardstick, draws = stick(), BENCH.posterior.rsample(N, generator())
    with pytest.raises(InputError, match="2 seeds"):
        yardstick(draws)
    with pytest.raises(InputError, match="100 draws"):
        yardstick(draws, draws[:50])
    with pytest.raises(InputError, match="repeats >= 2"):
        Yardstick(yardstick.distance, yardstick.exact, N, repeats=1, generator=generator())


def test_nearest_modes_are_counted():
    modes = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    draws = torch.tensor([[1.0, 0.5], [9.0, 1.0], [0.2, -3.0], [-1.0, 8.0]])
    assert mode_weights(draws, modes).tolist() == [0.5, 0.25, 0.25]


def test_total_variation_is_the_largest_difference_of_probabilities():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.5, 0.3])
    assert weight_error(p, q) == pytest.approx(0.3)  # of the event {0}
    assert weight_error(p, p) == 0
    assert weight_error(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == 1


@pytest.mark.parametrize("n", [1, 7, 200])
def test_expected_weight_error_is_the_mean_deviation_of_binomial_counts(n):
    weights = torch.tensor([0.0, 0.1, 0.25, 0.65], dtype=torch.float64)
    k = torch.arange(n + 1).numpy()
    deviations = [float((abs(k - n * p) * binom.pmf(k, n, p)).sum()) for p in weights.tolist()]
    assert expected_weight_error(weights, n) == pytest.approx(sum(deviations) / (2 * n))


def test_exact_draws_of_the_mixture_have_the_expected_weight_error():
    bench, n, repeats, g = benches.tb_m(), 500, 200, generator()
    reference = mode_weights(bench.posterior.rsample(200_000, g), bench.posterior.means)  # modes overlap a little
    assert weight_error(reference, bench.weights) < 0.002
    result = torch.tensor(
        [
            weight_error(mode_weights(bench.posterior.rsample(n, g), bench.posterior.means), reference)
            for _ in range(repeats)
        ]
    )
    expected = expected_weight_error(reference, n)
    assert abs(float(result.mean()) - expected) < 4.5 * float(result.std()) / math.sqrt(repeats) + 0.002


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: moment_error(normal(1, 8), BENCH.mean, BENCH.covariance),
        lambda: moment_error(normal(9, 7), BENCH.mean, BENCH.covariance),
        lambda: expected_moment_error(BENCH.covariance, 1),
        lambda: mode_weights(normal(3, 2), normal(3, 3)),
        lambda: weight_error(torch.tensor([0.5, 0.4]), torch.tensor([0.5, 0.5])),
        lambda: weight_error(torch.tensor([1.0]), torch.tensor([0.5, 0.5])),
        lambda: expected_weight_error(torch.tensor([1.0]), 0),
    ],
)
def test_wrong_input_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()


def test_benches_state_their_own_posterior():
    """Exact draws against the stated moments: Monte-Carlo error only."""
    draws = BENCH.posterior.rsample(20_000, generator())
    assert isinstance(BENCH.posterior, Gaussian)
    expected = expected_moment_error(BENCH.covariance, 20_000)
    result = moment_error(draws, BENCH.mean, BENCH.covariance)
    assert result.mean < 4 * expected.mean
    assert result.covariance < 4 * expected.covariance


def test_lattice_by_enumeration():
    bench = benches.lattice(2, coupling=0.3)
    states = bench.prior.means.reshape(-1, 2, 2)
    # a periodic lattice of side 2 counts every bond twice: beta * 2 * (sum of the four bonds)
    bonds = (states[:, 0] * states[:, 1]).sum(1) + (states[:, :, 0] * states[:, :, 1]).sum(1)
    joint = torch.exp(0.6 * bonds)
    torch.testing.assert_close(bench.prior.weights, joint / joint.sum())
    clean = bench.measurement.operator(bench.prior.means)
    # the blur adds to the noise of the data: N(y; A s, 0.7^2 + 0.2^2)
    evidence = joint * torch.exp(-(bench.measurement.y - clean).square().sum(1) / (2 * 0.53))
    torch.testing.assert_close(bench.posterior.weights, evidence / evidence.sum())


@pytest.mark.parametrize("make", [partial(benches.field_mri, 8), partial(benches.field_ct, 8)], ids=["mri", "ct"])
def test_fields_against_dense_linear_algebra(make):
    bench = make()
    eye = torch.eye(64, dtype=torch.float64).reshape(64, 1, 8, 8)
    covariance = bench.prior.covary(eye).reshape(64, 64)
    rows = bench.measurement.operator(eye)
    parts = [rows.real.flatten(1), rows.imag.flatten(1)] if rows.is_complex() else [rows.flatten(1)]
    a, y = torch.cat(parts, 1).T, bench.measurement.y
    y = torch.cat([y.real.flatten(), y.imag.flatten()]) if y.is_complex() else y.flatten()
    noise = bench.measurement.noise.variance * torch.eye(len(a), dtype=torch.float64)
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + noise)
    torch.testing.assert_close(bench.posterior.mean.flatten(), gain @ y, rtol=1e-6, atol=1e-8)
    exact = covariance - gain @ a @ covariance
    torch.testing.assert_close(bench.posterior.covary(eye).reshape(64, 64), exact, rtol=1e-6, atol=1e-8)
    n = 4000
    result = moment_error(bench.posterior.rsample(n, generator()).flatten(1), gain @ y, exact)
    expected = expected_moment_error(exact, n)
    assert result.mean < 2 * expected.mean
    assert result.covariance < 2 * expected.covariance
