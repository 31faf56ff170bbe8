"""Particles: resampling, the twist, exactness on Gaussians, the evidence, mode weights, and MCG-diff's mixture."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from benches import PosteriorBench, mcg_mixture, tb_g, tb_m
from torch import Tensor

from scorefield.calibration import floor, mode_weights, sliced_wasserstein, weight_error
from scorefield.errors import InputError
from scorefield.kernels import MALA, DPMpp2M, Kernel, Particles
from scorefield.kernels.particles import Population
from scorefield.kernels.resampling import effective_fraction, systematic
from scorefield.kernels.twist import Twisted
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix, RealToComplex
from scorefield.posteriors import MMPS
from scorefield.prior import Denoiser, Prior, level
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.samples import All
from scorefield.sampling import sample, walk
from scorefield.schedules import Karras
from support import complex_normal, monte_carlo_floor, normal, relative_wasserstein

G = tb_g()
M = tb_m()
DOUBLE = torch.empty(0, dtype=torch.float64)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def start(n: int, sigma: Tensor, seed: int = 0) -> Tensor:
    """Exact draws of TB-G's prior at a level."""
    clean, noise = G.prior.rsample(n, g(seed)), normal(n, 8, seed=seed + 1000)
    return clean + sigma * noise


# --- resampling


def test_systematic_resampling_is_unbiased_with_the_least_variance():
    """Each count is the floor or the ceiling of n w, so its variance is f (1 - f) with f the fraction of n w."""
    log_weights, n, trials = 1.5 * normal(40), 60, 4000
    wanted = n * log_weights.softmax(0)
    generator = g()
    counts = torch.stack([systematic(log_weights, n, generator).bincount(minlength=40) for _ in range(trials)]).double()
    assert bool(((counts == wanted.floor()) | (counts == wanted.ceil())).all())
    assert bool((counts.sum(1) == n).all())
    part = wanted.frac()
    assert bool(((counts.mean(0) - wanted).abs() < 5 * (part * (1 - part) / trials).sqrt() + 1e-12).all())


def test_resampled_particles_stay_in_order_and_equal_ones_stay_themselves():
    chosen = systematic(normal(30), 90, g())
    assert bool((chosen.diff() >= 0).all())
    generator = g(3)
    assert torch.equal(systematic(torch.full((9,), -700.0).double(), 9, generator), torch.arange(9))
    assert torch.equal(generator.get_state(), g(3).get_state())
    thinned = systematic(torch.zeros(12).double(), 3, g())
    assert torch.equal(thinned.diff(), torch.tensor([4, 4]))


def test_weights_far_apart_do_not_overflow():
    log_weights = torch.tensor([-1e5, 3e4, -math.inf, 3e4], dtype=torch.float64)
    assert systematic(log_weights, 4, g()).tolist() == [1, 1, 3, 3]
    assert effective_fraction(log_weights) == pytest.approx(0.5)


@pytest.mark.parametrize("alive", [1, 3, 10])
def test_the_effective_fraction_counts_equal_weights(alive):
    log_weights = torch.full((10,), -math.inf, dtype=torch.float64)
    log_weights[:alive] = 5.0
    assert effective_fraction(log_weights) == pytest.approx(alive / 10)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.0])
def test_resampled_exactly_when_the_effective_size_falls_below_the_threshold(threshold):
    bench = mcg_mixture(8, 4, 1)
    kernel, sigmas = Particles(bench.measurement, threshold=threshold), Karras(0.05, 170.0).grid(40)
    clouds = [s.memory for s in walk(bench.prior, kernel, sigmas[0] * normal(30, 8), sigmas, g())][1:]
    for before, after in pairwise(clouds):
        assert after.resamplings - before.resamplings == (before.effective_fraction < threshold)
    assert (clouds[-1].resamplings > 0) == (threshold > 0)


# --- the twist


@pytest.mark.parametrize("sigma", [0.02, 0.5, 30.0])
def test_on_a_gaussian_the_twist_is_the_evidence_of_the_noisy_image(sigma):
    x, eye = 2 * normal(6, 8), torch.eye(8, dtype=torch.float64)
    twist = Twisted(G.prior, G.measurement, rank=4).at(x, number(sigma))
    spread = torch.linalg.inv(torch.linalg.inv(G.prior.covariance) + eye / sigma**2)
    within = G.matrix @ spread @ G.matrix.T + 0.01 * torch.eye(4).double()
    law = torch.distributions.MultivariateNormal(G.prior.denoise(x, sigma) @ G.matrix.T, within)
    torch.testing.assert_close(twist.log, law.log_prob(G.measurement.y), rtol=1e-9, atol=1e-9)
    posterior = G.prior.posterior(G.measurement)
    torch.testing.assert_close(twist.guided, posterior.denoise(x, sigma), rtol=1e-8, atol=1e-8)


def test_the_twisted_law_of_a_gaussian_is_its_posterior():
    x, sigma, twisted = normal(6, 8), 0.4, Twisted(G.prior, G.measurement, rank=4)
    posterior = G.prior.posterior(G.measurement)
    evidence = twisted.log_prob(x, sigma) - posterior.log_prob(x, sigma)
    torch.testing.assert_close(evidence, G.prior.log_evidence(G.measurement).expand(6), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(twisted.score(x, sigma), posterior.score(x, sigma), rtol=1e-8, atol=1e-8)


def test_the_twist_ends_in_the_likelihood():
    x = 2 * normal(6, 2)
    gaps = []
    for sigma in (1e-3, 1e-4):
        log = Twisted(M.prior, M.measurement, rank=1).at(x, number(sigma)).log
        gaps.append((log - M.measurement.log_likelihood(x)).abs().max().item())
    assert gaps[0] < 1e-3
    assert gaps[0] / gaps[1] == pytest.approx(100, rel=0.05)  # of order sigma^2


def missing(bench: PosteriorBench, sigma: float, caution: float) -> Tensor:
    """Log of p(y | x) over the twist, at noisy draws x of the posterior, over its mean: components (M,)."""
    prior, scan, eye = bench.prior, bench.measurement, torch.eye(8, dtype=torch.float64)
    x = bench.posterior.rsample(4000, g()) + sigma * normal(4000, 8)
    gain = sigma**2 / (1 + sigma**2)  # the components of the mixture have variance 1
    matrix = scan.operator(eye).T
    means = (x.unsqueeze(1) + gain * (prior.means - x.unsqueeze(1))) @ matrix.T
    within = gain * matrix @ matrix.T + scan.noise.std**2 * torch.eye(len(matrix)).double()
    law = torch.distributions.MultivariateNormal(means, within)
    likelihood = (prior.responsibilities(x, sigma).log() + law.log_prob(scan.y)).logsumexp(1)
    twist = Twisted(prior, scan, rank=4, caution=caution).at(x, number(sigma)).log
    return likelihood - twist


@pytest.mark.parametrize("seed", [106, 119])
def test_caution_keeps_the_twist_from_missing_modes(seed):
    """Without it the likelihood is e^10 times the twist at some particle; they would carry a mode alone.

    With a share of 0.2 the effective sample size of the twisted law, 1 / (E w E 1/w), is above a third.
    """
    bench = mcg_mixture(8, 1, seed)
    for sigma in (5.0, 8.0, 13.0):
        plain, careful = (missing(bench, sigma, caution) for caution in (0.0, 0.2))
        assert (plain - plain.mean()).max() > 10
        assert (careful - careful.mean()).max() < 3
        assert 1 / (careful.exp().mean() * (-careful).exp().mean()) > 1 / 3


def test_a_cautious_twist_is_a_mixture_of_two_gaussians():
    """On a Gaussian prior both have a closed form; e is the prior's extent."""
    x, sigma, share = 2 * normal(6, 8), 0.7, 0.3
    eye, y = torch.eye(8, dtype=torch.float64), G.measurement.y
    spread = torch.linalg.inv(torch.linalg.inv(G.prior.covariance) + eye / sigma**2)
    noise, mean = 0.01 * torch.eye(4).double(), G.prior.denoise(x, sigma)
    more = eye / (sigma**-2 + G.prior.extent**-2)
    both = [G.matrix @ v @ G.matrix.T + noise for v in (spread, spread + more)]
    logs = torch.stack([torch.distributions.MultivariateNormal(mean @ G.matrix.T, s).log_prob(y) for s in both])
    logs = logs + torch.tensor([[1 - share], [share]], dtype=torch.float64).log()
    twist = Twisted(G.prior, G.measurement, rank=4, caution=share).at(x, number(sigma))
    torch.testing.assert_close(twist.log, logs.logsumexp(0), rtol=1e-9, atol=1e-9)
    shifts = [torch.linalg.solve(s, (y - mean @ G.matrix.T).T).T @ G.matrix @ spread for s in both]
    shares = logs.softmax(0).unsqueeze(-1)
    guided = mean + (shares * torch.stack(shifts)).sum(0)
    torch.testing.assert_close(twist.guided, guided, rtol=1e-8, atol=1e-8)


def complex_data() -> Measurement:
    operator = Matrix(complex_normal(3, 2, seed=4)) @ RealToComplex((2,))
    return Measurement(complex_normal(3, seed=5), operator, White(0.3))


@pytest.mark.parametrize("measurement", [M.measurement, complex_data()], ids=["real", "complex"])
def test_the_guidance_of_many_data_equals_that_of_few(measurement):
    """A Krylov space with room for all of the data solves what the dense twist factors."""
    x, sigma = 2 * normal(6, 2), number(1.3)
    dense = Twisted(M.prior, measurement, rank=6).at(x, sigma)
    matched = MMPS(M.prior, measurement, iterations=6, tolerance=1e-12).denoise(x, sigma)
    torch.testing.assert_close(dense.guided, matched, rtol=1e-7, atol=1e-7)


def test_complex_images():
    """Against the exact posterior of a complex Gaussian, and its evidence through (B,) differences of log-densities."""
    prior = DiagonalGaussian(complex_normal(3, seed=1), torch.tensor([1.0, 0.3, 2.0]).double())
    measurement = Measurement(complex_normal(2, seed=2), Matrix(complex_normal(2, 3, seed=3)), White(0.4))
    x, sigma = complex_normal(5, 3, seed=6), number(0.8)
    twisted, posterior = Twisted(prior, measurement, rank=4), prior.posterior(measurement)
    torch.testing.assert_close(twisted.denoise(x, sigma), posterior.denoise(x, sigma), rtol=1e-7, atol=1e-7)
    gap = twisted.log_prob(x, sigma) - posterior.log_prob(x, sigma)
    torch.testing.assert_close(gap, gap[:1].expand(5), rtol=1e-8, atol=1e-8)
    draws = sample(prior, Particles(measurement), Karras(0.05, 20.0).grid(6), n=3, seed=0, like=x).draws
    assert draws.dtype == torch.complex128


def test_without_the_determinant_a_gaussian_has_the_same_weights():
    x, sigma = normal(6, 8), number(0.7)
    dense, krylov = (Twisted(G.prior, G.measurement, rank=r).at(x, sigma) for r in (4, 3))
    exact = Twisted(G.prior, G.measurement, rank=4)
    gap = dense.log - krylov.log
    assert gap.std().item() < 0.2 * dense.log.std().item()  # three Krylov iterations for four data
    denoised, vjp = G.prior.linearize(x, sigma)
    guided, log = exact.krylov(denoised, level(sigma, x).square(), vjp)
    torch.testing.assert_close(dense.log - log, (dense.log - log)[:1].expand(6), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(dense.guided, guided, rtol=1e-3, atol=1e-3)


# --- the walk


def test_without_information_in_the_data_it_is_ancestral_sampling():
    blind = Measurement(number(0.7).reshape(1), Matrix(torch.zeros(1, 2).double()), White(0.5))
    sigmas = Karras(0.01, 20.0).grid(25)
    x = sigmas[0] * normal(40, 2)
    *_, last = walk(M.prior, Particles(blind, oversampling=1), x, sigmas, g(1))
    *_, plain = walk(M.prior, DPMpp2M(eta=1.0), x, sigmas, g(1))
    torch.testing.assert_close(last.x, plain.x, rtol=1e-9, atol=1e-9)
    assert last.memory.resamplings == 0
    assert last.memory.effective_fraction == pytest.approx(1)
    exact = torch.distributions.Normal(number(0.0), number(0.5)).log_prob(number(0.7)).item()
    assert last.memory.log_evidence == pytest.approx(exact, abs=1e-9)


def test_a_batch_is_a_population_and_batches_are_independent():
    sigmas = Karras(0.05, 20.0).grid(8)
    kernel = Particles(M.measurement)
    both = sample(M.prior, kernel, sigmas, n=10, seed=3, like=DOUBLE, keep=All(batch=5))
    alone = sample(M.prior, kernel, sigmas, n=5, seed=3, like=DOUBLE)
    assert torch.equal(both.draws[:5], alone.draws)
    together = sample(M.prior, kernel, sigmas, n=10, seed=3, like=DOUBLE)
    assert not torch.equal(together.draws, both.draws)
    # one evaluation at each positive level and one at the start, of four particles a draw; one datum
    assert both.cost.evaluations == 1 + 4 * 8
    assert both.cost.backward / 10 == 4 * 8


def test_single_precision_stays_single():
    sigmas = Karras(0.05, 20.0).grid(8)
    draws = sample(tb_m().prior.float(), Particles(M.measurement), sigmas, n=4, seed=0).draws
    assert draws.dtype == torch.float32
    assert bool(draws.isfinite().all())


def test_memory_of_another_level_is_not_used():
    s, t, u = (number(v) for v in (4.0, 2.0, 1.0))
    kernel, x = Particles(M.measurement), 4 * normal(6, 2)
    state = kernel.step(M.prior, kernel.start(x), s, t, g())
    again = kernel.step(M.prior, state, u, number(0.5), g())
    fresh = kernel.step(M.prior, kernel.start(state.x), u, number(0.5), g())
    assert torch.equal(again.x, fresh.x)


# --- Gaussians: the proposal is exact up to the length of the step


def test_on_a_gaussian_the_weights_even_out_with_the_number_of_levels():
    """Each of L steps adds a log weight of order h and of mean 0 but for its square: a variance of order 1/L in all."""
    variances = []
    for steps in (100, 400):
        kernel, sigmas = Particles(G.measurement, oversampling=1, threshold=0), Karras(0.01, 20.0).grid(steps)
        *_, last = walk(G.prior, kernel, start(300, sigmas[0]), sigmas, g(2))
        variances.append(last.memory.log_weights.var().item())
    # a variance of n numbers near normal is known to sqrt(2/n)
    assert variances[0] / variances[1] == pytest.approx(4, rel=4 * math.sqrt(4 / 300))
    assert last.memory.effective_fraction > 0.75


def test_on_a_gaussian_draws_have_the_posterior():
    sigmas = Karras(0.005, 30.0).grid(60)
    drawn = sample(G.prior, Particles(G.measurement, oversampling=2), sigmas, n=1500, seed=1, like=DOUBLE)
    least = monte_carlo_floor(G.mean, G.covariance, 1500)
    assert least < 0.06
    assert relative_wasserstein(drawn.draws, G.mean, G.covariance) < 1.5 * least


def model_log_evidence(sigmas: Tensor) -> float:
    """log p(y) of the law that second-order steps make of the prior: linear maps of (x, x one step before)."""
    prior, covariance = G.prior, torch.zeros(8, 2, 2, dtype=torch.float64)  # in the prior's eigenbasis
    levels = sigmas[sigmas > 0]
    covariance[:, 0, 0] = prior.eigenvalues + levels[0] ** 2
    for i, (s, t) in enumerate(pairwise(levels)):
        kept = t**2 / s**2
        ahead = torch.log(s / t) / torch.log(levels[i - 1] / s) / 2 if i else number(0.0)
        here = prior.eigenvalues / (prior.eigenvalues + s**2)
        before = prior.eigenvalues / (prior.eigenvalues + levels[max(i - 1, 0)] ** 2)
        step = torch.zeros(8, 2, 2, dtype=torch.float64)
        step[:, 0, 0], step[:, 0, 1] = kept + (1 - kept) * (1 + ahead) * here, -(1 - kept) * ahead * before
        step[:, 1, 0] = 1
        covariance = step @ covariance @ step.mT
        covariance[:, 0, 0] += t**2 * (1 - kept)
    shrink = prior.eigenvalues / (prior.eigenvalues + levels[-1] ** 2)
    clean = shrink**2 * covariance[:, 0, 0] + levels[-1] ** 2 * shrink
    seen = G.matrix @ prior.basis
    within = seen @ clean.diag() @ seen.T + 0.01 * torch.eye(4).double()
    law = torch.distributions.MultivariateNormal(prior.mean @ G.matrix.T, within)
    return law.log_prob(G.measurement.y[0]).item()


def test_the_evidence_of_the_model_converges_at_second_order():
    exact = G.prior.log_evidence(G.measurement).item()
    errors = [abs(model_log_evidence(Karras(0.01, 20.0).grid(steps)) - exact) for steps in (50, 100, 200, 400)]
    assert errors[-1] < 0.01
    assert math.log2(errors[-2] / errors[-1]) > 1.7


@pytest.mark.parametrize(("threshold", "caution"), [(0.0, 0.0), (0.9, 0.0), (0.9, 0.3)])
def test_the_evidence_is_unbiased(threshold, caution):
    """The mean of exp(log_evidence) over populations is p(y), whenever they are resampled, for every twist."""
    kernel = Particles(G.measurement, oversampling=1, threshold=threshold, caution=caution)
    sigmas = Karras(0.05, 20.0).grid(20)
    exact, found = model_log_evidence(sigmas), []
    for seed in range(50):
        *_, last = walk(G.prior, kernel, start(100, sigmas[0], seed), sigmas, g(seed))
        found.append(math.exp(last.memory.log_evidence - exact))
    ratio = torch.tensor(found)
    assert (ratio.mean() - 1).abs() < 5 * ratio.std() / math.sqrt(len(found))
    assert ratio.std() / math.sqrt(len(found)) < 0.1  # so that the line above can tell


# --- mixtures


LEVELS = Karras(0.02, 40.0).grid(40)


def pooled(kernel: Particles, populations: int, draws: int) -> tuple[Tensor, Tensor]:
    """Mode weights of TB-M over independent populations, and their standard errors."""
    drawn = sample(M.prior, kernel, LEVELS, n=populations * draws, seed=5, like=DOUBLE, keep=All(batch=draws)).draws
    shares = torch.stack([mode_weights(part, M.prior.means) for part in drawn.split(draws)])
    return shares.mean(0), shares.std(0) / math.sqrt(populations)


@pytest.mark.parametrize("move", [None, MALA(rate=0.5)], ids=["plain", "moved"])
def test_mode_weights(move):
    """Methods E26 asks for a total variation below 0.04 with 64 particles; Gaussian reasoning has 0.2."""
    found, error = pooled(Particles(M.measurement, oversampling=1, move=move), 12, 64)
    assert weight_error(found, M.weights) < 0.04
    # a population of N is biased by order 1/N: the variance of its weights over N, here below 1/64
    assert bool(((found - M.weights).abs() < 4 * error + 1 / 64).all())


@pytest.mark.slow
def test_mode_weights_of_eight_particles():
    """Methods E26: below 0.05; 500 populations bring the standard error to 0.01."""
    found, _ = pooled(Particles(M.measurement, oversampling=1), 500, 8)
    assert weight_error(found, M.weights) < 0.05


def test_the_weights_repair_the_proposal():
    """Particles without their weights are those of Gaussian reasoning, off by more than a tenth."""
    kernel = Particles(M.measurement, oversampling=1, threshold=0)
    *_, last = walk(M.prior, kernel, LEVELS[0] * normal(2000, 2), LEVELS, g(1))
    assert weight_error(mode_weights(last.memory.x, M.prior.means), M.weights) > 0.1
    shares = last.memory.log_weights.softmax(0)
    nearest = torch.cdist(last.memory.x, M.prior.means).argmin(1)
    found = torch.zeros(3).double().index_add(0, nearest, shares)
    error = 0.5 / math.sqrt(2000 * last.memory.effective_fraction)
    assert bool(((found - M.weights).abs() < 4 * error).all())


class Bare(Denoiser):
    def denoise(self, x, sigma):
        return M.prior.denoise(x, sigma)


def test_a_metropolis_move_needs_a_density():
    kernel = Particles(M.measurement, move=MALA())
    with pytest.raises(InputError, match="log_prob"):
        kernel.step(Bare(), kernel.start(normal(3, 2)), number(1.0), number(0.5), g())
    plain = Particles(M.measurement)
    moved = plain.step(Bare(), plain.start(normal(3, 2)), number(1.0), number(0.5), g())
    assert isinstance(moved.memory, Population)


@pytest.mark.parametrize(
    "fields",
    [{"oversampling": 0}, {"threshold": 1.1}, {"threshold": -0.1}, {"rank": 0}, {"caution": 1.0}, {"caution": -0.1}],
)
def test_bad_numbers_are_refused(fields):
    with pytest.raises(InputError):
        Particles(M.measurement, **fields)


def test_caution_needs_the_determinant():
    with pytest.raises(InputError, match="caution=0"):
        Particles(G.measurement, rank=3, caution=0.1)


# --- MCG-diff's mixture of 25 modes


def ratio(bench: PosteriorBench, prior: Prior, kernel: Kernel, steps: int, seed: int) -> float:
    """Sliced Wasserstein distance of 200 draws to exact ones, over the floor."""
    sigmas = Karras(0.02, 170.0).grid(steps)
    drawn = sample(prior, kernel, sigmas, n=200, seed=seed, like=DOUBLE).draws

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return sliced_wasserstein(a, b, directions=100, generator=g(seed))

    generator = g(seed)
    least = floor(distance, bench.posterior.rsample, 200, repeats=6, generator=generator).mean
    found = [distance(drawn, bench.posterior.rsample(200, generator)).item() for _ in range(6)]
    return sum(found) / 6 / least


@pytest.mark.parametrize("m", [1, 4])
def test_draws_are_as_near_to_the_posterior_as_exact_ones(m):
    """At most 1.25 times the floor, averaged over problems; benchmarks/mcg.py has the table with 1000 draws."""
    found, gaussian = [], []
    for seed in range(5):
        bench = mcg_mixture(8, m, seed)
        found.append(ratio(bench, bench.prior, Particles(bench.measurement), 100, seed))
        matched = MMPS(bench.prior, bench.measurement)
        gaussian.append(ratio(bench, matched, DPMpp2M(eta=1.0), 25, seed))
    error = torch.tensor(found).std().item() / math.sqrt(len(found))
    assert error < 0.2
    assert sum(found) / len(found) < 1.25 + 2 * error
    assert sum(gaussian) / len(gaussian) > 1.25 + 4 * error
