"""Metropolis kernels, at their default acceptance, under every exported posterior."""

from __future__ import annotations

import math

import pytest
import torch
from benches import tb_g
from registry import exported
from torch import Tensor

from scorefield import kernels, posteriors
from scorefield.densities.potential import log_ratio
from scorefield.kernels import HMC, MALA, Kernel
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix
from scorefield.posteriors import (
    DDNM,
    DDRM,
    DDS,
    DPS,
    MMPS,
    TMPD,
    AnnealedLikelihood,
    DiffPIR,
    Exact,
    NormMatched,
    PiGDM,
    Posterior,
    Projection,
    ScoreALD,
)
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.sampling import walk
from support import normal

POSTERIORS = sorted(exported(posteriors, Posterior), key=lambda cls: cls.__name__)
every = pytest.mark.parametrize("cls", POSTERIORS, ids=lambda cls: cls.__name__)
chains = pytest.mark.parametrize("kernel", [MALA(rate=0.8), HMC(rate=0.9)], ids=["MALA", "HMC"])
STEEP, RANDOM = {DPS, NormMatched}, {Projection}  # a score that is not affine; a score with a coin
RIGHT = {Exact, MMPS, TMPD, PiGDM}  # exact where the prior is N(0, I) and A keeps coordinates
SIGMA, NOISE, N = 0.6, 0.5, 6000
GIVEN = Measurement(torch.tensor([1.0, -0.5]).double(), Matrix(torch.eye(3).double()[:2]), White(NOISE))
PRIOR = DiagonalGaussian(torch.zeros(3).double(), torch.ones(3).double())


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stay(law: Posterior, kernel: Kernel, x: Tensor, steps: int):
    *_, last = walk(law, kernel, x, torch.full((steps + 1,), SIGMA, dtype=torch.float64), g(1))
    return last


@every
@chains
def test_each_posterior_keeps_the_law_of_its_score(cls, kernel):
    """N(m, P^-1) for a score -P (x - m), within 4 standard errors; the right posterior where the class is exact."""
    law, origin = cls(PRIOR, GIVEN), torch.zeros(1, 3).double()
    if cls in RANDOM | STEEP:
        last = stay(law, type(kernel)(rate=0.02), normal(200, 3), 5)
        assert bool(last.x.isfinite().all())
        assert 0.5 < last.info.acceptance.mean() <= 1
        assert last.info.path_error.mean() < 0.05
        return
    shift = law.score(origin, SIGMA)
    precision = shift - law.score(torch.eye(3).double(), SIGMA)
    torch.testing.assert_close(precision, precision.T)
    mean, covariance = torch.linalg.solve(precision, shift[0]), torch.linalg.inv(precision)
    start = mean + normal(N, 3) @ torch.linalg.cholesky(covariance).T
    last = stay(law, kernel, start, 8)
    assert 0.3 < last.info.acceptance.mean().item() < 0.99  # proposals are refused, or nothing would be tested
    assert last.info.path_error.max().item() < 1e-9  # Simpson's rule is exact for an affine score
    errors = (covariance.diagonal() / N).sqrt(), covariance.diagonal() * math.sqrt(2 / N)
    assert bool(((last.x.mean(0) - mean).abs() < 4 * errors[0]).all())
    assert bool(((last.x.var(0) - covariance.diagonal()).abs() < 4 * errors[1]).all())
    if cls in RIGHT:
        measured = 1 / (1 + 1 / NOISE**2)
        exact = torch.tensor([measured, measured, 1.0]).double() + SIGMA**2
        torch.testing.assert_close(covariance.diagonal(), exact)
        center = torch.cat([measured / NOISE**2 * GIVEN.y[0], torch.zeros(1).double()])
        torch.testing.assert_close(mean, center)


def around(law: Posterior) -> Tensor:
    """The integral of the score around a triangle, over the longest of its sides' integrals: (B,)."""
    a, b, c = (normal(20, 8, seed=seed) for seed in (1, 2, 3))
    sides = [log_ratio(law, p, q, SIGMA, 16) for p, q in ((a, b), (b, c), (c, a))]
    return torch.stack(sides).sum(0).abs() / torch.stack(sides).abs().amax(0)


@pytest.mark.parametrize("cls", [Exact, MMPS, PiGDM, DPS, AnnealedLikelihood, ScoreALD], ids=lambda cls: cls.__name__)
def test_these_scores_are_gradients(cls):
    """So the path does not matter, and the chain has a law: on a dense Gaussian problem."""
    bench = tb_g()
    assert around(cls(bench.prior, bench.measurement)).max() < 1e-3


@pytest.mark.parametrize("cls", [DDNM, DDRM, DDS, DiffPIR, NormMatched], ids=lambda cls: cls.__name__)
def test_these_scores_are_no_gradients_and_the_estimated_error_does_not_see_it(cls):
    bench = tb_g()
    assert around(cls(bench.prior, bench.measurement)).median() > 0.01


def test_the_acceptance_by_default_is_in_the_namespace():
    assert MALA().acceptance == HMC().acceptance == kernels.ByDensityOrPath()
