"""Schedules: their published formulas, and what they refuse.  The laws are in laws/test_schedules.py."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.errors import InputError
from scorefield.schedules import Geometric, Karras, LogNormal

U = torch.linspace(0, 1, 11, dtype=torch.float64)


def test_karras_is_equation_5():
    # Karras et al. 2022, eq. 5, counts from the largest level: i of N with sigma_0 = sigma_max
    n = 18
    expected = [(80 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(n)] + [0]
    torch.testing.assert_close(Karras().grid(n), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_karras_of_power_1_is_linear():
    torch.testing.assert_close(Karras(0.5, 2.5, rho=1).quantile(U), 0.5 + 2 * U)


def test_geometric_has_a_constant_ratio():
    levels = Geometric(0.01, 10).quantile(U)
    torch.testing.assert_close(levels[1:] / levels[:-1], torch.full((10,), 1000**0.1, dtype=torch.float64))


def test_lognormal_is_scipys():
    from scipy.stats import lognorm, norm

    law = LogNormal(-0.7, 0.9, tail=1e-3)
    inner = 1e-3 + (1 - 2e-3) * U
    expected = torch.from_numpy(lognorm(s=0.9, scale=math.exp(-0.7)).ppf(inner.numpy()))
    torch.testing.assert_close(law.quantile(U), expected, rtol=1e-9, atol=0)
    assert law.quantile(U[:1]).item() == pytest.approx(math.exp(-0.7 + 0.9 * norm.ppf(1e-3)), rel=1e-9)


@pytest.mark.parametrize("schedule", [Karras(), Geometric(0.01, 10), LogNormal()], ids=str)
def test_the_rank_of_a_level_is_its_u(schedule):
    ranks = torch.stack([schedule.rank(level) for level in schedule.quantile(U)])
    torch.testing.assert_close(ranks, U, rtol=0, atol=1e-9)
    ends = [schedule.rank(torch.tensor(level)).item() for level in (0.0, 1e6)]
    assert ends == pytest.approx([0, 1], abs=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Karras(0.0, 1.0),
        lambda: Karras(2.0, 1.0),
        lambda: Karras(0.1, math.inf),
        lambda: Karras(0.1, 1.0, rho=0),
        lambda: Karras(0.1, 1.0, rho=math.inf),
        lambda: Geometric(1.0, 1.0),
        lambda: Geometric(-1.0, 1.0),
        lambda: Geometric(math.nan, 1.0),
        lambda: LogNormal(std=0.0),
        lambda: LogNormal(tail=0.5),
        lambda: LogNormal(tail=0.0),
        lambda: Karras().grid(0),
    ],
)
def test_bad_numbers_are_refused(make):
    with pytest.raises(InputError):
        make()
