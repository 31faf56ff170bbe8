"""Laws of every exported kernel, on Gaussians where each step has a closed form."""

from __future__ import annotations

import inspect
import math
from itertools import pairwise

import pytest
import torch
from benches import tb_g
from registry import assert_examples, exported, with_example
from torch import Tensor

from scorefield import kernels, posteriors
from scorefield.errors import InputError
from scorefield.kernels import (
    HMC,
    MALA,
    Absolute,
    Alternate,
    Ancestral,
    AnnealedHMC,
    Ascent,
    ByPath,
    Churn,
    Corrector,
    DPMpp2M,
    DPMpp2S,
    DPMSolver2,
    FinalDenoise,
    FinalDraw,
    FixedLarge,
    Heun,
    Hold,
    Kernel,
    Langevin,
    PriorNoise,
    Renoise,
    Repeat,
    ReverseDiffusion,
    Then,
)
from scorefield.priors.gaussian import DiagonalGaussian, Gaussian
from scorefield.sampling import sample, walk
from scorefield.schedules import Geometric, Karras
from support import ancestral_variance, monte_carlo_floor, normal, relative_wasserstein


def holds_data(cls: type) -> bool:
    return "measurement" in inspect.signature(cls).parameters


BENCH = tb_g()
DOUBLE = torch.empty(0, dtype=torch.float64)
EXAMPLES = [
    Ancestral(),
    Ancestral(eta=0.5),
    Ancestral(eta=0),
    Ascent(),
    DPMpp2M(),
    DPMpp2M(eta=1.0),
    DPMpp2S(),
    DPMSolver2(ratio=0.3),
    Heun(),
    Churn(),
    FinalDenoise(),
    FinalDraw(DPMpp2M(eta=1.0)),
    PriorNoise(),
    Renoise(),
    FixedLarge(),
    ReverseDiffusion(),
    Renoise(),
    PriorNoise(),
    Corrector(),
    Langevin(),
    MALA(),
    MALA(acceptance=ByPath()),
    HMC(),
    HMC(acceptance=ByPath()),
    AnnealedHMC(HMC(0.7)),
    Hold(Langevin()),
    Repeat(Langevin(), 2),
    Then(Heun(), Hold(Langevin(rate=0.05))),
]
OWN = [own for own in with_example(kernels, Kernel, map(type, EXAMPLES)) if not holds_data(own)]
EXAMPLES += [own.example() for own in OWN]
every = pytest.mark.parametrize("kernel", EXAMPLES, ids=str)
QUIET = (Ascent, DPMpp2S, DPMSolver2, Heun, FinalDenoise)  # besides those with eta = 0


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_exported_kernel_is_here():
    """Those that hold a measurement have laws of their own, and Alternate walks posteriors only."""
    elsewhere = {cls for cls in exported(kernels, Kernel) if holds_data(cls)} | {Alternate}
    assert_examples(kernels, Kernel, {type(kernel) for kernel in EXAMPLES} | elsewhere)


# --- what all of them do


@every
def test_same_seed_same_bits(kernel):
    def draws(seed: int) -> Tensor:
        return sample(BENCH.prior, kernel, Karras(0.1, 5.0).grid(4), n=3, seed=seed).draws

    assert torch.equal(draws(1), draws(1))
    assert not torch.equal(draws(1), draws(2))


@every
def test_a_step_uses_the_generator_it_is_given_and_no_other(kernel):
    x, (s, t) = normal(3, 8), torch.tensor([1.0, 0.5], dtype=torch.float64)
    before = torch.get_rng_state()
    generators = [g(seed) for seed in (0, 0, 1)]
    results = [kernel.step(BENCH.prior, kernel.start(x), s, t, generator).x for generator in generators]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(results[0], results[1])
    is_random = not isinstance(kernel, QUIET) and getattr(kernel, "eta", 1) > 0
    if type(kernel) in OWN:  # nobody else says whether it draws
        is_random = not torch.equal(generators[0].get_state(), g(0).get_state())
    assert torch.equal(results[0], results[2]) != is_random


@every
def test_a_step_leaves_its_input_and_treats_each_image_alone(kernel):
    x, (s, t) = normal(3, 8), torch.tensor([1.0, 0.5], dtype=torch.float64)
    state = kernel.start(x.clone())
    moved = kernel.step(BENCH.prior, state, s, t, g())
    assert torch.equal(state.x, x)
    shifted = kernel.step(BENCH.prior, kernel.start(x + torch.tensor([[0.0], [1], [0]])), s, t, g())
    if isinstance(kernel, Corrector):
        return  # its step is the published one, a mean over the batch
    same = torch.tensor([True, False, True])
    torch.testing.assert_close(moved.x[same], shifted.x[same], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(moved.x[1], shifted.x[1])


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_images_keep_their_dtype_to_the_end(kernel, dtype):
    prior = DiagonalGaussian(torch.zeros(1, 2, 2, dtype=dtype), torch.tensor(0.5))
    x = torch.ones(2, 1, 2, 2, dtype=dtype)
    for state in walk(prior, kernel, x, Karras(0.1, 2.0).grid(3), g()):
        assert state.x.dtype == dtype
        assert bool(state.x.isfinite().all())


# --- the probability-flow ODE


ENDS = [Ancestral(), Ancestral(0), DPMpp2M(), DPMpp2M(eta=1.0), DPMpp2S(), DPMSolver2(), Heun(), Churn(gamma=0.0),
        PriorNoise(), Renoise(), FixedLarge(), ReverseDiffusion(), FinalDenoise()]  # fmt: skip


@pytest.mark.parametrize("kernel", ENDS, ids=str)
def test_the_last_step_returns_the_denoised_image(kernel):
    """By one evaluation and no noise, whatever was before."""
    x, sigma = normal(3, 8), torch.tensor(0.5, dtype=torch.float64)
    before = kernel.step(BENCH.prior, kernel.start(x), 2 * sigma, sigma, g())
    last = kernel.step(BENCH.prior, before, sigma, torch.zeros(()).double(), g())
    torch.testing.assert_close(last.x, BENCH.prior.denoise(before.x, sigma), rtol=1e-12, atol=1e-12)


def flow(x: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
    """The exact map: every principal component scales with its standard deviation under the noise."""
    prior = BENCH.prior
    ratio = ((prior.eigenvalues + target**2) / (prior.eigenvalues + sigma**2)).sqrt()
    return prior.mean + ((x - prior.mean) @ prior.basis * ratio) @ prior.basis.T


# methods D7: RMS errors at 16 steps from 20 to 0.01
ORDERS = [
    (Ancestral(eta=0), 1, 0.095),
    (Heun(), 2, 0.027),
    (DPMpp2M(), 2, 0.0107),
    (DPMpp2S(), 2, None),
    (DPMpp2S(ratio=0.3), 2, None),
    (DPMSolver2(), 2, None),
    (DPMSolver2(ratio=0.3), 2, None),
    (Churn(DPMpp2M(), gamma=0), 2, 0.0107),
]


@pytest.mark.parametrize(("kernel", "order", "error"), ORDERS, ids=str)
def test_order_of_convergence(kernel, order, error):
    x = BENCH.prior.mean + ((BENCH.prior.eigenvalues + 400).sqrt() * normal(100, 8)) @ BENCH.prior.basis.T
    errors = []
    for steps in (16, 32, 64, 128, 256):
        sigmas = Geometric(0.01, 20.0).grid(steps + 1)[:-1]
        *_, last = walk(BENCH.prior, kernel, x, sigmas, g())
        errors.append((last.x - flow(x, sigmas[0], sigmas[-1])).square().mean().sqrt().item())
    slopes = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert slopes[-1] == pytest.approx(order, abs=0.05)
    assert slopes[-2] == pytest.approx(order, abs=0.1)
    assert error is None or 1 / 1.5 < errors[0] / error < 1.5


@pytest.mark.parametrize(("kernel", "steps"), [(Heun(), 20), (DPMpp2M(), 39)], ids=["heun", "2m"])
def test_forty_evaluations_sample_a_gaussian_posterior(kernel, steps):
    """Relative W2 at most 0.05; 5000 exact draws have 0.02, and moment matching draws what the exact law draws."""
    exact = posteriors.Exact(BENCH.prior, BENCH.measurement)
    sigmas = Karras(0.003, 10.0).grid(steps)
    drawn = sample(exact, kernel, sigmas, n=5000, seed=1, like=DOUBLE)
    assert monte_carlo_floor(BENCH.mean, BENCH.covariance, 5000) < 0.025
    assert relative_wasserstein(drawn.draws, BENCH.mean, BENCH.covariance) <= 0.05
    matched = posteriors.MMPS(BENCH.prior, BENCH.measurement, tolerance=1e-10)
    first, same = (sample(law, kernel, sigmas, n=40, seed=1, like=DOUBLE) for law in (matched, exact))
    torch.testing.assert_close(first.draws, same.draws, rtol=1e-7, atol=1e-7)
    assert first.cost.evaluations == 40


# methods 0.4, on levels from 60 to .003: relative W2 of 5000 draws, and their trace over that of the exact covariance
TABLE = [
    (Ancestral(), 200, 0.028, 0.95),
    (Ancestral(eta=0), 200, 0.028, 0.98),
    (Heun(), 40, 0.029, 1.01),
    (Heun(), 18, 0.05, 1.08),
    (Heun(), 10, 0.16, 1.32),
]


@pytest.mark.parametrize(("kernel", "steps", "distance", "trace"), TABLE, ids=str)
def test_the_bench_has_its_measured_errors(kernel, steps, distance, trace):
    prior = BENCH.prior
    drawn = sample(prior, kernel, Karras(0.003, 60.0).grid(steps), n=5000, seed=0, like=DOUBLE).draws
    assert relative_wasserstein(drawn, prior.mean, prior.covariance) < 1.5 * distance
    # the standard error of the trace: sqrt(2 tr S^2 / n) / tr S
    error = math.sqrt(2 / 5000) * (prior.eigenvalues.norm() / prior.eigenvalues.sum()).item()
    found = (torch.cov(drawn.T).trace() / prior.covariance.trace()).item()
    assert found == pytest.approx(trace, abs=4 * math.sqrt(2) * error + 0.005)  # two runs, and a rounded number


# --- ancestral sampling

FOUR = torch.tensor([[2.0], [0.5], [0.1], [0.02]], dtype=torch.float64)


@pytest.mark.parametrize("steps", [25, 400])
def test_ancestral_variances(steps):
    n = 5000
    prior = DiagonalGaussian(torch.zeros(4, n, dtype=torch.float64), FOUR)
    sigmas = Karras(0.003, 10.0).grid(steps)
    start = sigmas[0] * normal(1, 4, n, seed=5)
    *_, last = walk(prior, Ancestral(), start, sigmas, g(2))
    expected = ancestral_variance(FOUR[:, 0], sigmas)
    # the standard error of a variance from n Gaussian draws is v sqrt(2/n)
    found = last.x[0].square().mean(1)
    assert ((found / expected - 1).abs() < 4 * math.sqrt(2 / n)).all()


def test_ancestral_variances_become_exact_in_the_fine_limit():
    bias = []
    for steps in (200, 400, 800):
        found = ancestral_variance(FOUR[:, 0], Karras(0.003, 40.0).grid(steps))
        bias.append((found / FOUR[:, 0] - 1).abs().max().item())
    assert bias[-1] < 0.025
    assert bias[0] / bias[1] == pytest.approx(2, abs=0.1)  # first order
    assert bias[1] / bias[2] == pytest.approx(2, abs=0.05)


def test_ancestral_never_takes_the_root_of_round_off():
    prior = DiagonalGaussian(torch.zeros(3, dtype=torch.float64), torch.tensor(1.0))
    for s in torch.linspace(0.1, 100, 997, dtype=torch.float64):
        moved = Ancestral().step(prior, Ancestral().start(normal(1, 3)), s, s * 1e-9, g())
        assert bool(moved.x.isfinite().all())


STEPS_ALONG_THE_CHAIN = [*(Ancestral(eta=e) for e in (0.0, 0.3, 1.0)), *(DPMpp2M(eta=e) for e in (0.0, 0.5, 1.0, 2.0))]


@pytest.mark.parametrize("kernel", STEPS_ALONG_THE_CHAIN, ids=str)
def test_the_marginal_is_kept_when_the_denoiser_is_perfect(kernel):
    """For a point mass D is the point, and whatever eta the law at the target is N(point, target^2)."""
    n = 50_000
    prior = DiagonalGaussian(torch.full((n,), 3.0, dtype=torch.float64), torch.tensor(0.0))
    s, t = torch.tensor([1.0, 0.6], dtype=torch.float64)
    moved = kernel.step(prior, kernel.start(3 + normal(1, n)), s, t, g(1)).x - 3
    assert moved.square().mean().item() == pytest.approx(0.36, rel=4 * math.sqrt(2 / n))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 2.0])
def test_the_multistep_solver_of_the_sde_has_the_right_variances(eta):
    n = 10_000
    prior = DiagonalGaussian(torch.zeros(4, n, dtype=torch.float64), FOUR)
    sigmas = Karras(0.003, 20.0).grid(150)
    start = (sigmas[0] ** 2 + FOUR).sqrt() * normal(1, 4, n, seed=5)
    *_, last = walk(prior, DPMpp2M(eta=eta), start, sigmas, g(2))
    found = last.x[0].square().mean(1) / FOUR[:, 0]
    # second order: at 150 steps the bias is below half a per cent
    assert ((found - 1).abs() < 4 * math.sqrt(2 / n) + 0.005).all()


# --- Langevin dynamics and ascent


def test_langevin_stationary_variances():
    """P^-1 (I - a P/2)^-1: P = diag(1, 10), a = .05 gives (1.0256, .1333), methods A14."""
    n, a = 25_000, 0.05
    precision = torch.tensor([1.0, 10.0], dtype=torch.float64)
    prior = Gaussian(torch.tensor([1.0, -2.0], dtype=torch.float64), (1 / precision).diag())
    x = prior.rsample(n, g())
    *_, last = walk(prior, Langevin(Absolute(a)), x, torch.zeros(150, dtype=torch.float64), g(1))
    expected = 1 / precision / (1 - a * precision / 2)
    found = last.x.var(0)
    assert expected.tolist() == pytest.approx([1.0256, 0.1333], abs=1e-4)
    # 0.03 is more than 3 standard errors sqrt(2/n) of a variance, and a third of the second one's shift
    assert (found / expected - 1).abs().max().item() < 0.03
    assert (last.x.mean(0) - prior.mean).abs().max().item() < 4 * math.sqrt(1.03 / n)


@pytest.mark.parametrize("cls", [Langevin, Ascent])
def test_the_rate_is_in_units_of_the_noise_variance(cls):
    x, (s, t) = normal(3, 8), torch.tensor([0.7, 0.1], dtype=torch.float64)
    by_rate = cls(rate=0.3).step(BENCH.prior, cls().start(x), s, t, g())
    by_size = cls(Absolute(0.3 * 0.49)).step(BENCH.prior, cls().start(x), s, t, g())
    torch.testing.assert_close(by_rate.x, by_size.x, rtol=1e-12, atol=1e-12)


def test_langevin_is_ascent_and_noise():
    x, (s, t) = normal(3, 8), torch.tensor([0.7, 0.1], dtype=torch.float64)
    up = Ascent(rate=0.2).step(BENCH.prior, Ascent().start(x), s, t, g()).x
    noisy = Langevin(rate=0.2).step(BENCH.prior, Langevin().start(x), s, t, g()).x
    torch.testing.assert_close(up, x + 0.2 * 0.49 * BENCH.prior.score(x, s))
    fresh = torch.empty_like(x).normal_(generator=g())
    torch.testing.assert_close(noisy - up, math.sqrt(2 * 0.2 * 0.49) * fresh)


@pytest.mark.parametrize("route", ["exact", "likelihood"])
def test_ascent_finds_the_mode(route):
    """Methods A16: on a Gaussian the mode is the posterior mean, and the objective never falls."""
    conditioned = {
        "exact": posteriors.Exact(BENCH.prior, BENCH.measurement),
        "likelihood": posteriors.AnnealedLikelihood(BENCH.prior, BENCH.measurement, inflation=0),
    }[route]
    curvature = torch.linalg.eigvalsh(torch.linalg.inv(BENCH.covariance))
    kernel = Ascent(Absolute(1 / curvature[-1].item()))
    steps = math.ceil(curvature[-1] / curvature[0] * math.log(1e8))
    height, last = -math.inf, None
    for i, state in enumerate(walk(conditioned, kernel, normal(1, 8), torch.zeros(steps + 1), g())):
        last = state.x
        if i % 50 == 0:
            now = (BENCH.prior.log_prob(last) + BENCH.measurement.log_likelihood(last)).item()
            assert now >= height - 1e-10
            height = now
    assert last is not None
    assert (last[0] - BENCH.mean).norm().item() < 1e-6


# --- memory and levels


def test_memory_of_another_level_is_not_used():
    """After a detour the multistep solver starts afresh, at first order."""
    x, s = normal(3, 8), torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    kernel = DPMpp2M()
    state = kernel.step(BENCH.prior, kernel.start(x), s[0], s[1], g())
    fresh = kernel.step(BENCH.prior, kernel.start(state.x), s[2], s[3], g())
    assert torch.equal(kernel.step(BENCH.prior, state, s[2], s[3], g()).x, fresh.x)
    follows = kernel.step(BENCH.prior, state, s[1], s[2], g()).x
    assert not torch.equal(follows, kernel.step(BENCH.prior, kernel.start(state.x), s[1], s[2], g()).x)


def test_repeated_levels_do_no_harm():
    sigmas = torch.tensor([4.0, 2, 2, 2, 1, 0.5, 0.5, 0], dtype=torch.float64)
    for kernel in (Ancestral(), Heun(), DPMpp2M(), DPMpp2S(), DPMSolver2(), FixedLarge(), ReverseDiffusion(), Churn()):
        draws = sample(BENCH.prior, kernel, sigmas, n=2, seed=0, like=DOUBLE).draws
        assert bool(draws.isfinite().all())


def test_predictor_corrector_samples_the_prior():
    kernel = Then(Ancestral(), Repeat(Hold(Langevin(rate=0.05)), 2))
    drawn = sample(BENCH.prior, kernel, Karras(0.003, 10.0).grid(100), n=5000, seed=3, like=DOUBLE)
    covariance = BENCH.prior.covariance
    assert monte_carlo_floor(BENCH.prior.mean, covariance, 5000) < 0.03
    assert relative_wasserstein(drawn.draws, BENCH.prior.mean, covariance) < 0.05


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ancestral(eta=1.1),
        lambda: Ancestral(eta=-0.1),
        lambda: Ancestral(eta=math.nan),
        lambda: DPMpp2M(eta=-0.1),
        lambda: Langevin(rate=0),
        lambda: Langevin(Absolute(-1)),
        lambda: Ascent(rate=-1),
        lambda: Ascent(Absolute(0.0)),
        lambda: Repeat(Heun(), 0),
        lambda: MALA(rate=0),
        lambda: HMC(Absolute(0.0)),
        lambda: HMC(leapfrogs=0),
        lambda: AnnealedHMC(accepted=3, proposals=2),
        lambda: ByPath(intervals=3),
        lambda: Corrector(snr=0),
        lambda: Churn(gamma=-0.1),
        lambda: Churn(s_min=2.0, s_max=1.0),
        lambda: DPMSolver2(ratio=0),
        lambda: DPMpp2S(ratio=1.1),
    ],
)
def test_bad_numbers_are_refused(make):
    with pytest.raises(InputError):
        make()
