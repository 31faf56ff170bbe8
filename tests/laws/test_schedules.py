"""Laws of every exported schedule."""

from __future__ import annotations

import inspect

import pytest
import torch
from scipy.stats import kstest

from scorefield import schedules as schedule
from scorefield.schedules import Schedule

SCHEDULES = [
    cls for cls in vars(schedule).values() if inspect.isclass(cls) and issubclass(cls, Schedule) and cls is not Schedule
]
every = pytest.mark.parametrize("cls", SCHEDULES)
U = torch.linspace(0, 1, 1001, dtype=torch.float64)


def test_all_are_found():
    assert len(SCHEDULES) >= 3


@every
def test_levels_are_positive_finite_and_increase(cls):
    levels = cls().quantile(U)
    assert levels.shape == U.shape
    assert bool((levels > 0).all() and levels.isfinite().all() and (levels.diff() > 0).all())


@every
def test_end_points(cls):
    law = cls()
    ends = law.quantile(torch.tensor([0.0, 1.0], dtype=torch.float64))
    if hasattr(law, "sigma_min"):
        assert ends.tolist() == pytest.approx([law.sigma_min, law.sigma_max], rel=1e-12)
    draws = law.draw(10_000, torch.Generator().manual_seed(0))
    assert bool((draws >= ends[0]).all() and (draws <= ends[1]).all())


@every
@pytest.mark.parametrize("steps", [1, 2, 17])
def test_the_grid_is_the_quantiles_backward_and_then_0(cls, steps):
    law = cls()
    grid = law.grid(steps)
    assert grid.shape == (steps + 1,)
    assert grid.dtype == torch.float64
    assert grid[-1] == 0
    assert bool((grid.diff() < 0).all())
    u = torch.linspace(1, 0, steps, dtype=torch.float64)
    torch.testing.assert_close(grid[:-1], law.quantile(u), rtol=0, atol=0)
    assert grid[0] == law.quantile(U[-1:])[0]


@every
def test_draws_follow_the_quantile_function(cls):
    law = cls()
    draws = law.draw(5000, torch.Generator().manual_seed(1))
    levels = law.quantile(U)

    def cdf(sigma):  # the inverse of the quantile function, by interpolation on a fine grid
        import numpy as np

        return np.interp(sigma, levels.numpy(), U.numpy())

    assert kstest(draws.numpy(), cdf).pvalue > 1e-3
    assert kstest((draws * 1.3).numpy(), cdf).pvalue < 1e-3  # the test can tell


@every
def test_draws_repeat_with_the_generator(cls):
    first, second, other = (cls().draw(9, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
