"""RePaint: what resampling repairs, and that a step is the replacement walk made several times."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from benches import GaussianBench, tb_g
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernels import Ancestral, Kernel, Project, RePaint, Then
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix
from scorefield.sampling import sample, walk
from scorefield.schedules import Karras
from scorefield.start import begin
from support import normal, relative_wasserstein

TINY = White(1e-6)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noiseless(bench: GaussianBench) -> tuple[Measurement, Tensor, Tensor]:
    """Exact data of the bench's truth, and the law that they leave."""
    matrix, prior = bench.matrix, bench.prior
    y = matrix @ bench.truth
    gain = prior.covariance @ matrix.T @ torch.linalg.inv(matrix @ prior.covariance @ matrix.T)
    mean = prior.mean + gain @ (y - matrix @ prior.mean)
    return Measurement(y, Matrix(matrix), TINY), mean, prior.covariance - gain @ matrix @ prior.covariance


def run(bench: GaussianBench, kernel: Kernel, steps: int, n: int) -> Tensor:
    sigmas = Karras(0.003, 60.0).grid(steps)
    x = begin(bench.prior, torch.empty(n, 8).double(), sigmas[0], g(1))
    *_, last = walk(bench.prior, kernel, x, sigmas, g(2))
    return last.x


@pytest.mark.parametrize("seed", [0, 3])
def test_resampling_repairs_replacement(seed):
    """Methods E15: replacement is biased however fine its grid; at the published numbers a fraction of it is left."""
    bench = tb_g(seed)
    given, mean, covariance = noiseless(bench)
    plain = run(bench, Then(Ancestral(), Project(given)), 250, 800)
    resampled = run(bench, RePaint(given), 25, 800)
    errors = [relative_wasserstein(x, mean, covariance) for x in (plain, resampled)]
    assert errors[0] > 0.2
    assert errors[1] < 0.5 * errors[0]
    for x in (plain, resampled):
        assert (given.residual(x)).abs().max() < 1e-6


def test_one_pass_is_the_replacement_walk():
    """A stretch is divided evenly; 4 steps of 5 substeps are 20 steps."""
    bench = tb_g()
    coarse = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0]).double()
    stretches = [a + (b - a) * torch.arange(5).double() / 5 for a, b in pairwise(coarse)]
    fine = torch.cat([*stretches, coarse[-1:]])
    x = 8 * normal(3, 8)
    *_, one = walk(bench.prior, RePaint(bench.measurement, jump=5, passes=1), x, coarse, g())
    *_, other = walk(bench.prior, Then(Ancestral(), Project(bench.measurement)), x, fine, g())
    torch.testing.assert_close(one.x, other.x, rtol=1e-9, atol=1e-9)


def test_going_back_keeps_the_level():
    """With nothing measured (a zero operator) and a point for a prior, passes leave N(point, target^2)."""
    from scorefield.priors.gaussian import DiagonalGaussian

    n = 20_000
    prior = DiagonalGaussian(torch.full((2,), 3.0).double(), torch.tensor(0.0))
    given = Measurement(torch.zeros(1).double(), Matrix(torch.zeros(1, 2).double()), TINY)
    kernel, (sigma, target) = RePaint(given, jump=2, passes=4), torch.tensor([1.0, 0.6]).double()
    moved = kernel.step(prior, kernel.start(3 + normal(n, 2)), sigma, target, g()).x - 3
    assert moved.square().mean().item() == pytest.approx(0.36, rel=5 / math.sqrt(n))


def test_evaluations():
    bench = tb_g()
    drawn = sample(bench.prior, RePaint(bench.measurement, jump=3, passes=4), Karras(0.1, 10.0).grid(5), n=2)
    assert drawn.cost.evaluations == 5 * 3 * 4 + 1  # one to begin


@pytest.mark.parametrize("fields", [{"jump": 0}, {"passes": 0}])
def test_bad_numbers_are_refused(fields):
    with pytest.raises(InputError, match="jump >= 1 and passes >= 1"):
        RePaint(tb_g().measurement, **fields)
