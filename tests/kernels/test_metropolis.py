"""Metropolis kernels: exact for every step, by density or by the score alone, with few calls of the prior."""

# a count is a number until there are chains, and a memory is None before the first step
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportAttributeAccessIssue=false

from __future__ import annotations

import math

import pytest
import torch
from benches import tb_g, tb_m
from torch import Tensor

from scorefield import posteriors
from scorefield.densities.potential import log_ratio
from scorefield.errors import InputError, NoDensity
from scorefield.kernel import Repeat, State, Then
from scorefield.kernels import (
    HMC,
    MALA,
    Absolute,
    Ancestral,
    AnnealedHMC,
    Ascent,
    ByDensity,
    ByPath,
    FinalDenoise,
    Heun,
    Hold,
    Langevin,
    Relative,
)
from scorefield.kernels.acceptance import Point
from scorefield.measurement import Measurement
from scorefield.prior import Denoiser
from scorefield.priors import Scaled
from scorefield.priors.gaussian import DiagonalGaussian, Gaussian
from scorefield.sampling import sample, walk
from scorefield.schedules import Geometric
from support import monte_carlo_floor, normal, relative_wasserstein

MIXTURE = tb_m().prior
EXACT = [
    MALA(Absolute(0.4)),
    MALA(Absolute(0.3), acceptance=ByPath(8)),
    HMC(Absolute(0.5), leapfrogs=4),
    HMC(Absolute(0.4), leapfrogs=3, acceptance=ByPath(8)),
]
exact = pytest.mark.parametrize("kernel", EXACT, ids=str)
PRECISION = torch.tensor([1.0, 10.0], dtype=torch.float64)
NARROW = Gaussian(torch.tensor([1.0, -2.0], dtype=torch.float64), (1 / PRECISION).diag())


ONE, S = normal(5, 2), torch.tensor(0.7, dtype=torch.float64)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stay(prior, kernel, x: Tensor, steps: int, sigma: float = 0.0) -> State:
    sigmas = torch.full((steps + 1,), sigma, dtype=torch.float64)
    *_, last = walk(prior, kernel, x, sigmas, g(1))
    return last


# --- invariance


@exact
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_kernels_leave_a_mixture_invariant(kernel, sigma):
    """Started from exact draws, every moment stays within 4 standard errors of its own spread."""
    n = 20_000
    x = MIXTURE.rsample(n, g()) + sigma * normal(n, 2, seed=9)
    last = stay(MIXTURE, kernel, x, 15, sigma)
    assert 0.3 < last.info.acceptance.mean().item() < 0.98  # proposals are refused, or nothing would be tested
    fresh = MIXTURE.rsample(200_000, g(5)) + sigma * normal(200_000, 2, seed=6)
    for moment in (lambda u: u, lambda u: u.square(), lambda u: u.prod(1, keepdim=True), lambda u: u**4):
        found, expected = moment(last.x), moment(fresh)
        error = expected.std(0) * math.sqrt(1 / n + 1 / len(fresh))
        assert bool(((found.mean(0) - expected.mean(0)).abs() < 4 * error).all())


def test_the_unadjusted_chain_would_be_caught():
    n = 20_000
    last = stay(MIXTURE, Langevin(Absolute(0.3)), MIXTURE.rsample(n, g()), 15)
    spread = (last.x - MIXTURE.means[MIXTURE.responsibilities(last.x).argmax(1)]).square().mean().item()
    assert spread > 0.25 * (1 + 20 * math.sqrt(2 / n))


@pytest.mark.parametrize("kernel", [MALA(Absolute(0.1)), HMC(Absolute(0.3), leapfrogs=5)], ids=str)
def test_a_far_start_is_forgotten(kernel):
    n = 10_000
    last = stay(NARROW, kernel, 0.1 * normal(n, 2) + 3, 100)
    assert ((last.x.mean(0) - NARROW.mean).abs() * PRECISION.sqrt() < 4 / math.sqrt(n)).all()
    assert ((last.x.var(0) * PRECISION - 1).abs() < 4 * math.sqrt(2 / n)).all()


def test_mala_has_the_variances_that_langevin_misses():
    """Methods A14: a = .05 on precisions (1, 10) gives (1, .1) within 3%, where ULA has (1.0256, .1333)."""
    n = 25_000
    last = stay(NARROW, MALA(Absolute(0.05)), NARROW.rsample(n, g()), 60)
    assert (last.x.var(0) * PRECISION - 1).abs().max().item() < 0.03
    assert (last.x.mean(0) - NARROW.mean).abs().max().item() < 4 / math.sqrt(n)
    assert 0.9 < last.info.acceptance.mean().item() < 0.95


# --- the proposal and its acceptance


def test_mala_is_one_leapfrog_step():
    x, zero = normal(50, 2), torch.tensor(0.0, dtype=torch.float64)
    mala, hmc = MALA(Absolute(0.08)), HMC(Absolute(0.4), leapfrogs=1)
    moved = [kernel.step(MIXTURE, kernel.start(x), zero, zero, g()) for kernel in (mala, hmc)]
    torch.testing.assert_close(moved[0].x, moved[1].x, rtol=1e-12, atol=1e-12)


def test_acceptance_is_the_metropolis_hastings_ratio():
    """A14's formula, log p(x')/p(x) + log q(x|x')/q(x'|x), decides as the kernel did."""
    a, x, zero = 0.25, MIXTURE.rsample(4000, g(7)), torch.tensor(0.0, dtype=torch.float64)
    moved = MALA(Absolute(a)).step(MIXTURE, State(x), zero, zero, g())
    generator = g()
    z = torch.empty_like(x).normal_(generator=generator)
    log_u = -torch.empty(len(x), dtype=x.dtype).exponential_(generator=generator)
    there = x + a * MIXTURE.score(x, 0) + math.sqrt(2 * a) * z

    def log_q(to: Tensor, origin: Tensor) -> Tensor:
        return -(to - origin - a * MIXTURE.score(origin, 0)).square().sum(1) / (4 * a)

    ratio = MIXTURE.log_prob(there) - MIXTURE.log_prob(x) + log_q(x, there) - log_q(there, x)
    expected = torch.where((log_u < ratio)[:, None], there, x)
    torch.testing.assert_close(moved.x, expected, rtol=1e-10, atol=1e-10)
    assert torch.equal(moved.info.accepted.bool(), log_u < ratio)
    assert 0.3 < moved.info.acceptance.mean().item() < 0.9


def test_simpson_gain_is_the_difference_of_log_densities():
    """Methods A14: to 1e-3 for unit-length moves; E5: so the Hamiltonian difference is too."""
    start, move = MIXTURE.rsample(2000, g()), normal(2000, 2)
    end = start + move / move.norm(dim=1, keepdim=True)
    sigma = torch.tensor(0.7, dtype=torch.float64)
    blank = torch.zeros(2000, dtype=torch.float64)
    here, there = (Point(x, x, blank) for x in (start, end))
    gain = ByPath(8).gain(MIXTURE, here, there, sigma).value
    exact = MIXTURE.log_prob(end, sigma) - MIXTURE.log_prob(start, sigma)
    assert (gain - exact).abs().max().item() < 1e-3
    four = ByPath().gain(MIXTURE, here, there, sigma).value
    assert (four - exact).abs().median().item() < 1e-3


def test_proposals_that_overflow_are_rejected():
    x, zero = normal(20, 2), torch.tensor(0.0, dtype=torch.float64)
    for kernel in (
        HMC(leapfrogs=400, rate=Absolute(50.0)),
        HMC(leapfrogs=400, rate=Absolute(50.0), acceptance=ByPath()),
    ):
        moved = kernel.step(NARROW, kernel.start(x), zero, zero, g())
        assert torch.equal(moved.x, x)
        assert not moved.info.acceptance.any()


# --- what it asks of the prior


class Counted(DiagonalGaussian):
    """A Gaussian that counts what it is asked."""

    def __init__(self):
        super().__init__(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))
        self.scores = self.log_probs = 0

    def score(self, x, sigma):
        self.scores += 1
        return super().score(x, sigma)

    def log_prob(self, x, sigma=0.0):
        self.log_probs += 1
        return super().log_prob(x, sigma)


@pytest.mark.parametrize(("kernel", "each"), [(MALA(), 1), (HMC(leapfrogs=3), 3)])
def test_a_known_point_is_not_computed_again(kernel, each):
    prior = Counted()
    stay(prior, kernel, normal(4, 2), 7, 1.0)
    assert (prior.scores, prior.log_probs) == (1 + 7 * each, 1 + 7)


def test_the_path_costs_scores_only():
    prior = Counted()
    stay(prior, MALA(acceptance=ByPath(4)), normal(4, 2), 7, 1.0)
    assert (prior.scores, prior.log_probs) == (1 + 7 * (1 + 5), 0)


@pytest.mark.parametrize("change", ["level", "images", "prior"])
def test_memory_of_something_else_is_not_used(change):
    """After another level, other images or another prior, the next step is that of a fresh chain."""
    kernel, s = MALA(rate=0.5), torch.tensor(1.0, dtype=torch.float64)
    state = kernel.step(MIXTURE, kernel.start(normal(30, 2)), s, s, g())
    other = {"level": s / 2, "images": s, "prior": s}[change]
    prior = tb_m().prior if change == "prior" else MIXTURE
    if change == "images":
        state = state.at(state.x + 0.3)
    follows = kernel.step(prior, state, other, other, g(1))
    fresh = kernel.step(prior, kernel.start(state.x), other, other, g(1))
    assert torch.equal(follows.x, fresh.x)
    assert torch.equal(follows.memory.point.score, fresh.memory.point.score)
    assert torch.equal(follows.info.accepted, state.info.accepted + fresh.info.accepted)  # the count goes on
    assert torch.equal(follows.info.proposals, torch.full((30,), 2.0, dtype=torch.float64))


def test_the_law_is_invariant_in_combinations_of_kernels():
    """A kernel that moves the images in between (and back) does not corrupt the chain: unit Gaussian, reflections."""

    class Reflect(Ascent):
        def step(self, prior, state, sigma, target, generator):
            return state.at(-state.x)

    n = 20_000
    prior = DiagonalGaussian(torch.zeros(2, dtype=torch.float64), torch.tensor([1.0, 0.2], dtype=torch.float64))
    last = stay(prior, Then(Reflect(), MALA(Absolute(0.3))), prior.rsample(n, g()), 30)
    assert ((last.x.var(0) / prior.variance - 1).abs() < 4 * math.sqrt(2 / n)).all()


class ScoreOnly(Denoiser):
    def denoise(self, x, sigma):
        return MIXTURE.denoise(x, sigma)


@pytest.mark.parametrize("cls", [MALA, HMC])
def test_the_default_takes_the_density_where_there_is_one(cls):
    """To the bit ByDensity under a density and ByPath under a score; ByDensity alone refuses a score."""
    s, x = torch.tensor(0.5, dtype=torch.float64), normal(3, 2)
    for law, rule in ((MIXTURE, ByDensity()), (ScoreOnly(), ByPath())):
        moved, expected = (k.step(law, k.start(x), s, s, g()) for k in (cls(), cls(acceptance=rule)))
        assert torch.equal(moved.x, expected.x)
        assert torch.equal(moved.info.path_error, expected.info.path_error)
    with pytest.raises(NoDensity, match=r"ScoreOnly has no log-density"):
        cls(acceptance=ByDensity()).step(ScoreOnly(), State(x), s, s, g())


def test_a_score_alone_costs_scores_alone():
    """What a prior refuses to answer is not counted: 1 + (1 + 5) scores of 3 images, and those of the start."""
    drawn = sample(ScoreOnly(), MALA(), torch.full((2,), 0.5), n=3, seed=0, like=torch.empty(2).double())
    assert drawn.cost.forward == 3 * (1 + 1 + 6)


def test_the_error_of_the_path_is_reported():
    """The mean change of the acceptance probability, here known from the density; 16 times as many intervals end it."""
    n, size, zero = 4000, 0.8, torch.tensor(0.0, dtype=torch.float64)
    x = MIXTURE.rsample(n, g())
    exact = MALA(Absolute(size), acceptance=ByDensity()).step(MIXTURE, State(x), zero, zero, g())
    assert bool((exact.info.path_error == 0).all())
    there = x + size * MIXTURE.score(x, 0) + math.sqrt(2 * size) * torch.empty_like(x).normal_(generator=g())
    log_q = [-(b - a - size * MIXTURE.score(a, 0)).square().sum(1) / (4 * size) for a, b in ((x, there), (there, x))]
    gains = [MIXTURE.log_prob(there) - MIXTURE.log_prob(x), log_ratio(MIXTURE, x, there, zero)]
    right, wrong = (torch.exp((gain + log_q[1] - log_q[0]).clamp(max=0)) for gain in gains)
    found = MALA(Absolute(size), acceptance=ByPath()).step(MIXTURE, State(x), zero, zero, g()).info.path_error
    assert found.mean().item() == pytest.approx((right - wrong).abs().mean().item(), rel=0.5)
    assert found.mean() > 1e-3
    fine = MALA(Absolute(size), acceptance=ByPath(64)).step(MIXTURE, State(x), zero, zero, g()).info.path_error
    assert fine.mean() < 0.01 * found.mean()
    twice = stay(MIXTURE, MALA(Absolute(size), acceptance=ByPath()), x, 2).info
    assert torch.equal(twice.proposals, torch.full((n,), 2.0).double())
    assert 0.5 < twice.path_error.mean() / found.mean() < 2  # a mean, not a sum


@pytest.mark.parametrize("kernel", [MALA(), HMC(), Langevin(), Ascent()])
def test_a_rate_at_level_zero_is_refused(kernel):
    zero = torch.tensor(0.0, dtype=torch.float64)
    with pytest.raises(InputError, match="at sigma = 0; give the kernel an absolute one"):
        kernel.step(MIXTURE, kernel.start(normal(3, 2)), zero, zero, g())


@pytest.mark.parametrize("cls", [MALA, HMC, Langevin, Ascent])
def test_the_old_arguments_name_the_new_ones(cls):
    with pytest.raises(InputError, match=rf"{cls.__name__}\(Absolute"):
        cls(step_size=0.1)
    assert (
        cls(0.3).step(MIXTURE, State(ONE), S, S, g()).x.equal(cls(Relative(0.3)).step(MIXTURE, State(ONE), S, S, g()).x)
    )


def test_the_exponent_is_of_the_step():
    with pytest.raises(InputError, match=r"HMC\(Relative\(\.\.\., exponent"):
        HMC(0.1, exponent=1.5)  # pyright: ignore[reportCallIssue]  # of version 0.1
    assert HMC(Relative(0.2, exponent=1.5)).stride(S).item() == pytest.approx(0.2 * S.item() ** 1.5)
    assert Langevin(Relative(0.2, exponent=0.5)).size(S).item() == pytest.approx(0.2 * S.item())
    assert Langevin(Absolute(0.2)).size(0 * S).item() == pytest.approx(0.2)


def test_a_posterior_without_density_is_sampled_by_its_score():
    """Score-only MALA on the data's own posterior: the moments of the exact one, within 4 standard errors."""
    bench, n = tb_m(), 4000
    law = posteriors.Exact(bench.prior, bench.measurement)  # answers denoise and score only
    target = bench.prior.posterior(bench.measurement)
    last = stay(law, MALA(Absolute(0.1), acceptance=ByPath()), target.rsample(n, g()), 20, 1e-6)
    fresh = target.rsample(100_000, g(3))
    error = fresh.std(0) * math.sqrt(1 / n + 1e-5)
    assert bool(((last.x.mean(0) - fresh.mean(0)).abs() < 4 * error).all())


# --- annealed


def test_annealed_hmc_samples_a_gaussian_posterior():
    """Methods E5: 60 levels of 3 proposals of 3 leapfrog steps; relative W2 below .08, acceptance above .9."""
    bench = tb_g()
    law = posteriors.AnnealedLikelihood(bench.prior, bench.measurement)
    kernel = Then(Repeat(HMC(Relative(0.5, exponent=0.5), 3, acceptance=ByPath()), 3), FinalDenoise())
    x = bench.prior.mean + 10 * normal(3000, 8)
    *_, last = walk(law, kernel, x, Geometric(0.01, 10.0).grid(60), g(1))
    assert monte_carlo_floor(bench.mean, bench.covariance, 3000) < 0.04
    assert relative_wasserstein(last.x, bench.mean, bench.covariance) < 0.08
    assert 0.9 < last.info.acceptance.mean().item() < 1


def test_annealed_hmc_stops_when_each_chain_has_accepted_enough():
    """Each chain accepts exactly two at a level, however many proposals that takes it, and no more than allowed."""
    s = torch.tensor(0.5, dtype=torch.float64)
    x, once = normal(40, 2), HMC(1.9, 2)
    moved = AnnealedHMC(once, accepted=2, proposals=50).step(MIXTURE, once.start(x), s, s, g())
    assert torch.equal(moved.info.accepted, torch.full((40,), 2.0, dtype=torch.float64))
    assert moved.info.proposals.unique().numel() > 1
    assert torch.equal(moved.x, moved.memory.point.x)
    capped = AnnealedHMC(once, accepted=2, proposals=2).step(MIXTURE, once.start(x), s, s, g())
    assert capped.info.accepted.min() < 2
    assert torch.equal(capped.info.proposals, torch.full((40,), 2.0, dtype=torch.float64))
    again = AnnealedHMC(once, accepted=2, proposals=50).step(MIXTURE, moved, s, s, g())
    assert torch.equal(again.info.accepted, torch.full((40,), 4.0, dtype=torch.float64))


def test_annealed_hmc_has_the_published_stride():
    """10 (sigma/100)^1.5 at every level, in the paper's units; three leapfrog steps, two acceptances, Simpson on 4."""
    for u in (1.0, 0.25):
        annealed = AnnealedHMC.published(amplitude=u)
        kernel = annealed.proposal(normal(2, 3))
        for sigma in (100.0, 30.0, 0.5):
            stride = kernel.stride(torch.tensor(u * sigma, dtype=torch.float64))
            assert stride.item() == pytest.approx(u * 10 * (sigma / 100) ** 1.5, rel=1e-12)
        assert (kernel.leapfrogs, kernel.acceptance, annealed.accepted) == (3, ByPath(4), 2)
    with pytest.raises(InputError, match="positive"):
        AnnealedHMC.published(amplitude=0.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_default_stride_of_annealed_hmc_is_a_fraction_of_the_level(dtype):
    """1.7 sigma over the fourth root of the number of real numbers."""
    kernel = AnnealedHMC().proposal(torch.zeros(2, 1, 4, 4, dtype=dtype))
    numbers = 32 if dtype.is_complex else 16
    assert kernel.stride(torch.tensor(0.3)).item() == pytest.approx(1.7 * 0.3 / numbers**0.25)
    assert (kernel.leapfrogs, kernel.acceptance) == (3, ByPath(4))


def test_annealed_hmc_samples_by_default_in_any_unit():
    """TB-G in units of 1000: relative W2 .04, where the published stride leaves 36."""
    bench, u = tb_g(3), 1e-3
    given = Measurement(bench.measurement.y, bench.measurement.operator * (1 / u), bench.measurement.noise)
    law = posteriors.AnnealedLikelihood(Scaled(bench.prior, u), given)
    x = u * (bench.prior.mean + 10 * normal(1000, 8))
    *_, last = walk(law, Then(AnnealedHMC(), FinalDenoise()), x, u * Geometric(0.01, 10.0).grid(60), g(1))
    assert relative_wasserstein(last.x / u, bench.mean, bench.covariance) < 0.08
    assert 0.7 < last.info.acceptance.mean().item() < 0.9


def test_the_rate_is_read_through_combinations():
    prior, s = MIXTURE, torch.tensor([1.0, 0.5], dtype=torch.float64)
    kernel = Then(Ancestral(), Repeat(Hold(MALA(rate=0.3)), 4))
    moved = kernel.step(prior, kernel.start(normal(5, 2)), s[0], s[1], g())
    assert torch.equal(moved.info.proposals, torch.full((5,), 4.0, dtype=torch.float64))
    assert bool(((moved.info.acceptance >= 0) & (moved.info.acceptance <= 1)).all())
    assert moved.memory[1].memory.sigma == s[1]


def test_the_old_place_of_the_acceptance_names_the_new_one():
    zero = torch.tensor(0.0, dtype=torch.float64)
    moved = MALA(Absolute(0.1)).step(MIXTURE, State(normal(3, 2)), zero, zero, g())
    with pytest.raises(InputError, match=r"state\.info\.acceptance"):
        _ = moved.memory.acceptance
    with pytest.raises(InputError, match="No proposal was made"):
        _ = Heun().step(MIXTURE, State(normal(3, 2)), zero + 1, zero, g()).info.acceptance
