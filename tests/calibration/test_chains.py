"""Effective sample size and R-hat: closed forms of autoregressions, and invariance under monotone maps."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.calibration import effective_sample_size, split_rhat, tail_effective_sample_size
from scorefield.errors import InputError
from support import normal


def autoregression(phi: float, m: int, n: int, copies: int = 1, seed: int = 0) -> torch.Tensor:
    """Stationary chains (m, n, copies) of variance 1 with autocorrelations phi^t."""
    z = normal(m, n, copies, seed=seed)
    states = [z[:, 0]]
    for t in range(1, n):
        states.append(phi * states[-1] + math.sqrt(1 - phi**2) * z[:, t])
    return torch.stack(states, 1)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, -0.5])
def test_effective_sample_size_of_an_autoregression(phi):
    m, n = 4, 4000
    result = effective_sample_size(autoregression(phi, m, n, copies=16))
    wanted = m * n * (1 - phi) / (1 + phi)
    # 16 independent copies; cutting the correlations where they cease to be positive biases by a few per cent
    assert abs(float(result.mean()) - wanted) < 4.5 * float(result.std()) / 4 + 0.03 * wanted


def test_the_variance_of_the_mean_is_that_of_as_many_independent_draws():
    """ESS against its meaning: Var(mean) = 1 / ESS over repeated chains."""
    n, repeats = 500, 2000
    chains = autoregression(0.7, 1, n, copies=repeats)
    square = chains.mean((0, 1)).square()
    wanted = (1 + 0.7) / (1 - 0.7) / n - 2 * 0.7 / (1 - 0.7) ** 2 / n**2  # exact to O(phi^n)
    assert abs(float(square.mean()) - wanted) < 4.5 * float(square.std()) / math.sqrt(repeats)
    four = autoregression(0.7, 4, n, copies=200, seed=5)
    assert float(1 / effective_sample_size(four).median()) == pytest.approx(wanted / 4, rel=0.12)


def test_r_hat_of_mixed_chains_is_one():
    result = split_rhat(normal(4, 1000, 50))
    assert bool((result > 0.999).all())
    assert bool((result < 1.01).all())


def test_r_hat_of_shifted_chains_is_the_ratio_of_variances():
    """R^2 = 1 + Var(means) / Var(within), which normal scores of a nearly normal mixture nearly keep."""
    shifts = torch.tensor([-0.3, -0.1, 0.1, 0.3], dtype=torch.float64).reshape(4, 1)
    result = split_rhat(normal(4, 20_000) + shifts)
    between = torch.cat([shifts, shifts]).var()  # of the eight halves
    assert float(result) == pytest.approx(math.sqrt(1 + float(between)), rel=0.01)


def test_r_hat_sees_a_trend_a_scale_and_a_stuck_chain():
    trend = normal(4, 1000) + torch.linspace(-1, 1, 1000, dtype=torch.float64)
    scale = normal(4, 1000) * torch.tensor([[1.0], [1.0], [1.0], [3.0]])
    stuck = torch.cat([normal(3, 1000), normal(1, 1).expand(1, 1000)])
    assert all(float(split_rhat(chains)) > 1.05 for chains in (trend, scale, stuck))


def test_monotone_maps_change_nothing():
    chains = autoregression(0.6, 4, 600)[..., 0]
    heavy = torch.tan(math.pi * (torch.special.ndtr(chains) - 0.5))  # Cauchy
    torch.testing.assert_close(effective_sample_size(chains), effective_sample_size(heavy))
    torch.testing.assert_close(tail_effective_sample_size(chains), tail_effective_sample_size(torch.exp(chains)))
    torch.testing.assert_close(split_rhat(chains), split_rhat(2 * chains - 5))


@pytest.mark.parametrize("phi", [0.0, 0.6, -0.6, 0.9])
@pytest.mark.parametrize(("m", "n"), [(4, 400), (3, 601), (8, 200)])
def test_the_numbers_are_those_of_arviz(m, n, phi):
    """A second implementation of the same paper, for each event by itself."""
    array_stats = pytest.importorskip("arviz_stats.base").array_stats
    chains = autoregression(phi, m, n, copies=5, seed=n)
    axes = {"chain_axis": 0, "draw_axis": 1}
    for result, wanted in [
        (split_rhat(chains), array_stats.rhat(chains.numpy(), method="rank", **axes)),
        (effective_sample_size(chains), array_stats.ess(chains.numpy(), method="bulk", **axes)),
        (tail_effective_sample_size(chains), array_stats.ess(chains.numpy(), method="tail", prob=0.05, **axes)),
    ]:
        torch.testing.assert_close(result, torch.as_tensor(wanted), rtol=1e-12, atol=0)


def test_events_are_treated_one_by_one():
    chains = autoregression(0.6, 4, 100, copies=6).reshape(4, 100, 2, 3)
    for function in (split_rhat, effective_sample_size, tail_effective_sample_size):
        result = function(chains)
        assert result.shape == (2, 3)
        torch.testing.assert_close(result[1, 2], function(chains[:, :, 1, 2]))


def test_constant_chains_have_all_draws_and_an_r_hat_of_one():
    assert effective_sample_size(torch.ones(2, 10)).item() == 20
    assert split_rhat(torch.ones(2, 10)).item() == 1


@pytest.mark.parametrize("chains", [torch.zeros(5), torch.zeros(2, 3), torch.full((2, 8), math.nan)])
def test_wrong_input_is_refused(chains):
    for function in (split_rhat, effective_sample_size, tail_effective_sample_size):
        with pytest.raises(InputError):
            function(chains)
