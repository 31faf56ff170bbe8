"""Predictor-corrector sampling, the reverse-diffusion predictor, DDPM's variances and stochastic churn."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from benches import tb_g, tb_m
from torch import Tensor

from scorefield.kernel import Repeat, State, Then
from scorefield.kernels import (
    Ancestral,
    Churn,
    Corrector,
    DPMpp2S,
    FinalDenoise,
    FixedLarge,
    Heun,
    Hold,
    ReverseDiffusion,
)
from scorefield.priors import LinearBetas
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.sampling import sample, walk
from scorefield.schedules import Geometric, Karras
from support import complex_normal, monte_carlo_floor, normal, relative_wasserstein

BENCH = tb_g()
UNIT = BENCH.prior.extent
DOUBLE = torch.empty(0, dtype=torch.float64)
ONE, HALF = torch.tensor([1.0, 0.5], dtype=torch.float64)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- the corrector


def test_the_corrector_keeps_a_signal_to_noise_ratio_squared():
    """a = 2 (r |z|/|s|)^2: the drift a|s| is 2 r^2 |z|^2/|s|, and with the noise's |sqrt(2a) z| the ratio is r."""
    x, r = normal(5, 8), 0.16
    moved = Corrector(snr=r).step(BENCH.prior, State(x), HALF, ONE, g()).x
    z = torch.empty_like(x).normal_(generator=g())
    s = BENCH.prior.score(x, HALF)
    a = 2 * (r * z.norm(dim=1).mean() / s.norm(dim=1).mean()) ** 2  # as published, means over the batch
    torch.testing.assert_close(moved, x + a * s + (2 * a).sqrt() * z, rtol=1e-12, atol=1e-12)
    drift, noise = a * s.norm(dim=1).mean(), (2 * a).sqrt() * z.norm(dim=1).mean()
    assert (drift / noise).item() == pytest.approx(r, rel=1e-12)


def test_the_corrector_has_no_units():
    """Images c times as large, at levels c times as large, move c times as far."""
    small = DiagonalGaussian(torch.zeros(4, dtype=torch.complex128), torch.tensor(0.5))
    large = DiagonalGaussian(torch.zeros(4, dtype=torch.complex128), torch.tensor(0.5 * 1e6))
    x = complex_normal(3, 4)
    moved = Corrector().step(small, State(x), ONE, ONE, g()).x
    scaled = Corrector().step(large, State(1e3 * x), 1e3 * ONE, ONE, g()).x
    torch.testing.assert_close(scaled, 1e3 * moved, rtol=1e-10, atol=1e-10)


def test_a_corrector_at_a_mode_is_finite():
    prior = DiagonalGaussian(torch.zeros(4), torch.tensor(1.0))
    moved = Corrector(snr=1e-25).step(prior, State(torch.zeros(2, 4)), ONE, ONE, g()).x
    assert bool(moved.isfinite().all())


@pytest.mark.parametrize(
    "kernel",
    [
        ReverseDiffusion(),
        Then(Corrector(), ReverseDiffusion()),
        Then(Ancestral(), Repeat(Hold(Corrector()), 1)),
    ],
    ids=["predictor", "published", "ancestral"],
)
def test_a_thousand_levels_sample_a_gaussian(kernel):
    """Methods D3: relative W2 below .05 at N = 1000, predictor alone and with the corrector."""
    drawn = sample(BENCH.prior, kernel, Geometric(0.01, 50.0).grid(1000), n=4000, seed=3, like=DOUBLE)
    assert monte_carlo_floor(BENCH.prior.mean, BENCH.prior.covariance, 4000) < 0.03
    assert relative_wasserstein(drawn.draws, BENCH.prior.mean, BENCH.prior.covariance) < 0.05


# --- predictors of one mean and three variances


@pytest.mark.parametrize(
    ("kernel", "variance"),
    [
        (Ancestral(), lambda s, t: t**2 * (s**2 - t**2) / s**2),
        (ReverseDiffusion(), lambda s, t: s**2 - t**2),
        (FixedLarge(), lambda s, t: (s**2 - t**2) * (UNIT**2 + t**2) / (UNIT**2 + s**2)),
    ],
    ids=["ancestral", "reverse diffusion", "fixed large"],
)
def test_a_predictor_is_its_mean_and_its_noise(kernel, variance):
    x = normal(4, 8)
    moved = kernel.step(BENCH.prior, State(x), ONE, HALF, g()).x
    mean = x + (ONE**2 - HALF**2) * BENCH.prior.score(x, ONE)
    z = torch.empty_like(x).normal_(generator=g())
    torch.testing.assert_close(moved, mean + math.sqrt(variance(1.0, 0.5)) * z, rtol=1e-12, atol=1e-12)
    last = kernel.step(BENCH.prior, State(x), ONE, 0 * ONE, g()).x
    torch.testing.assert_close(last, BENCH.prior.denoise(x, ONE), rtol=1e-12, atol=1e-12)


# methods D1: the final variance over s^2 of DDPM's thousand steps, beta and beta~
DDPM = {
    (FixedLarge(), 1.0): 0.9999,
    (FixedLarge(), 0.5): 1.0030,
    (FixedLarge(), 0.1): 1.0154,
    (Ancestral(), 1.0): 0.9911,
    (Ancestral(), 0.5): 0.9845,
    (Ancestral(), 0.1): 0.9276,
}


@pytest.mark.parametrize("kernel", [FixedLarge(), Ancestral()], ids=str)
def test_ddpm_variances(kernel):
    """Methods D1: the linear recursion has its numbers to 4 digits, and scalars have the recursion's variances."""
    n, std = 10_000, torch.tensor([[1.0], [0.5], [0.1]], dtype=torch.float64)
    prior = DiagonalGaussian(torch.zeros(3, n, dtype=torch.float64), std.square())
    sigmas = LinearBetas().grid(1000)
    # DDPM starts at N(0, 1) in its own units
    x = (1 + sigmas[0] ** 2).sqrt() * normal(1, 3, n)
    expected, found = _ddpm_variance(kernel, std[:, 0], sigmas), None
    for state in walk(prior, kernel, x, sigmas, g(1)):
        found = state.x[0].square().mean(1)
    assert found is not None
    for i, s in enumerate((1.0, 0.5, 0.1)):
        ratio = expected[i].item() / s**2
        assert ratio == pytest.approx(DDPM[kernel, s], abs=6e-5)
        assert found[i].item() / s**2 == pytest.approx(ratio, rel=4 * math.sqrt(2 / n))  # 5.7%


def _ddpm_variance(kernel: object, std: Tensor, sigmas: Tensor) -> Tensor:
    """The recursion in DDPM's own units, with its own betas: mean and variance of the step from t to t - 1."""
    kept = 1 / (1 + sigmas**2)  # abar at each level; 1 at the end
    found = torch.ones_like(std)
    for now, then in pairwise(kept.tolist()):
        beta = 1 - now / then
        small = beta * (1 - then) / (1 - now)
        noise = (beta if isinstance(kernel, FixedLarge) else small) if then < 1 else 0.0
        eps = math.sqrt(1 - now) / (now * std**2 + 1 - now)  # the exact prediction is eps * x
        found = ((1 - beta / math.sqrt(1 - now) * eps) / math.sqrt(1 - beta)) ** 2 * found + noise
    return found


# --- churn


def test_churn_raises_the_level_and_solves_from_there():
    x, kernel = normal(4, 8), Churn(gamma=0.2, s_noise=1.01)
    moved = kernel.step(BENCH.prior, kernel.start(x), ONE, HALF, g()).x
    z = torch.empty_like(x).normal_(generator=g())
    raised = x + 1.01 * math.sqrt(1.2**2 - 1) * z
    expected = Heun().step(BENCH.prior, State(raised), 1.2 * ONE, HALF, g()).x
    torch.testing.assert_close(moved, expected, rtol=1e-12, atol=1e-12)
    capped = Churn(gamma=5.0).step(BENCH.prior, State(x), ONE, HALF, g()).x
    limit = Churn(gamma=math.sqrt(2) - 1).step(BENCH.prior, State(x), ONE, HALF, g()).x
    assert torch.equal(capped, limit)


@pytest.mark.parametrize("outside", [{"s_min": 1.5}, {"s_max": 0.9}])
def test_churn_acts_within_its_range_only(outside):
    x = normal(4, 8)
    moved = Churn(gamma=0.2, **outside).step(BENCH.prior, State(x), ONE, HALF, g()).x
    assert torch.equal(moved, Heun().step(BENCH.prior, State(x), ONE, HALF, g()).x)


@pytest.mark.parametrize("kernel", [Churn(gamma=0.3, s_noise=1.0), Churn(DPMpp2S(), 0.3, s_noise=1.0)], ids=str)
def test_churn_samples_the_prior(kernel):
    """Stochastic in the middle, deterministic at the ends: the same law as the solver inside."""
    drawn = sample(BENCH.prior, kernel, Karras(0.003, 10.0).grid(60), n=4000, seed=3, like=DOUBLE)
    assert monte_carlo_floor(BENCH.prior.mean, BENCH.prior.covariance, 4000) < 0.03
    assert relative_wasserstein(drawn.draws, BENCH.prior.mean, BENCH.prior.covariance) < 0.05


# --- the end


def test_final_denoise_acts_at_the_end_only():
    x, kernel = normal(4, 8), FinalDenoise()
    assert torch.equal(kernel.step(BENCH.prior, State(x), ONE, HALF, g()).x, x)
    assert torch.equal(kernel.step(BENCH.prior, State(x), ONE, 0 * ONE, g()).x, BENCH.prior.denoise(x, ONE))


def test_predictors_find_the_weights_of_a_mixture():
    """What Gaussian benches cannot see: the frequencies of the modes, within 4 standard errors."""
    prior, n = tb_m().prior, 3000
    for kernel in (Then(Corrector(), ReverseDiffusion()), Churn(gamma=0.3, s_noise=1.0)):
        drawn = sample(prior, kernel, Karras(0.01, 20.0).grid(200), n=n, seed=1, like=DOUBLE).draws
        found = torch.bincount(torch.cdist(drawn, prior.means).argmin(1), minlength=3) / n
        assert (found - prior.weights).abs().max().item() < 4 * math.sqrt(0.25 / n)
