"""MCG-Diff: the adapted step, exact potentials below the noise, the evidence, mode weights, and what kappa does."""

from __future__ import annotations

import math

import pytest
import torch
from benches import tb_g, tb_m
from torch import Tensor

from scorefield.calibration import mode_weights, weight_error
from scorefield.errors import InputError
from scorefield.kernels import DPMpp2M, MCGDiff
from scorefield.kernels.mcg_diff import _Data
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix, birdcage, cartesian_mask, mri
from scorefield.priors.gaussian import DiagonalGaussian, Gaussian
from scorefield.samples import All
from scorefield.sampling import sample, walk
from scorefield.schedules import Karras
from support import complex_normal, normal

G = tb_g()
M = tb_m()
DOUBLE = torch.empty(0, dtype=torch.float64)
LEVELS = Karras(0.02, 40.0).grid(40)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def matrix_of(measurement: Measurement) -> Tensor:
    """The dense matrix of a real operator."""
    return measurement.operator(torch.eye(*measurement.shape * 2, dtype=torch.float64)).T


# --- one step


@pytest.mark.parametrize("level", [5.0, 0.3, 0.12])
def test_the_adapted_step_is_gaussian_conditioning(level):
    """Draws given the open data, against the dense formula; at 0.12 one datum is open, at 0.3 three are."""
    n, s, u = 20_000, number(level), number(0.4)
    data = _Data(G.measurement, 1e-4, 1.0)
    chosen, mean = data.open(s), normal(1, 8, seed=3)
    assert int(chosen.sum()) == {5.0: 4, 0.3: 3, 0.12: 1}[level]
    left, d, right = torch.linalg.svd(matrix_of(G.measurement) / 0.1, full_matrices=False)
    order = data.tau[0].argsort()  # singular values come largest first
    rows, seen = right[chosen[0][order]], (G.measurement.y[0] / 0.1 @ left / d)[chosen[0][order]]
    v = (s**2 - (1 / d**2)[chosen[0][order]]).clamp(min=u**2)  # all are above their noise
    gain = u**2 * rows.T @ torch.linalg.inv(u**2 * rows @ rows.T + v.diag())
    expected, spread = mean[0] + gain @ (seen - rows @ mean[0]), u**2 * (torch.eye(8).double() - gain @ rows)
    variances = data.variances(s, u)
    drawn = data.guided(mean.expand(n, 8), u * normal(n, 8, seed=4), variances, chosen, u)
    assert bool(((drawn.mean(0) - expected).abs() < 5 * (spread.diag() / n).sqrt()).all())
    assert (torch.cov(drawn.T) - spread).abs().max() < 5 * u**2 * math.sqrt(2 / n)
    law = torch.distributions.MultivariateNormal(rows @ mean[0], (u**2 + v).diag())
    log = (
        data.log_potential(data.spectrum.coordinates(mean), variances + u**2, chosen)
        - math.log(2 * math.pi) * len(v) / 2
    )
    torch.testing.assert_close(log[0], law.log_prob(seen))


@pytest.mark.parametrize("sigma", [0.02, 0.05])
def test_levels_below_the_noise_of_the_data_have_exact_weights(sigma):
    """All potentials of closed coordinates and the constant are the likelihood of an image with noise sigma."""
    x, s = normal(6, 8), number(sigma)
    data = _Data(G.measurement, 1e-4, 1.0)
    assert not bool(data.open(s).any())
    found = data.constant + data.log_potential(data.spectrum.coordinates(x), data.variances(s), data.measured)
    A = matrix_of(G.measurement)
    law = torch.distributions.MultivariateNormal(x @ A.T, 0.01 * torch.eye(4).double() - s**2 * A @ A.T)
    torch.testing.assert_close(found, law.log_prob(G.measurement.y), rtol=1e-8, atol=1e-8)


# --- the walk


def test_without_information_in_the_data_it_is_ancestral_sampling():
    blind = Measurement(number(0.7).reshape(1), Matrix(torch.zeros(1, 2).double()), White(0.5))
    sigmas = Karras(0.01, 20.0).grid(25)
    x = sigmas[0] * normal(40, 2)
    *_, last = walk(M.prior, MCGDiff(blind, oversampling=1), x, sigmas, g(1))
    *_, plain = walk(M.prior, DPMpp2M(eta=1.0), x, sigmas, g(1))
    torch.testing.assert_close(last.x, plain.x, rtol=1e-9, atol=1e-9)
    exact = torch.distributions.Normal(number(0.0), number(0.5)).log_prob(number(0.7)).item()
    assert last.memory.log_evidence == pytest.approx(exact, abs=1e-9)  # pyright: ignore


def evidences(prior: Gaussian, given: Measurement, sigmas: Tensor, n: int, populations: int) -> Tensor:
    """Estimates of p(y) over its true value, one a population."""
    exact, found = prior.log_evidence(given).item(), []
    for seed in range(populations):
        x = prior.rsample(n, g(seed)) + sigmas[0] * normal(n, 8, seed=seed + 1000)
        *_, last = walk(prior, MCGDiff(given, oversampling=1), x, sigmas, g(seed))
        found.append(math.exp(last.memory.log_evidence - exact))  # pyright: ignore
    return torch.tensor(found)


def test_the_evidence_of_data_noisier_than_the_first_level():
    """Then the walk is unconditional, and its weights are the likelihood of the first images."""
    given, sigmas = Measurement(G.measurement.y, G.measurement.operator, White(1.0)), Karras(0.05, 0.5).grid(3)
    ratio = evidences(G.prior, given, sigmas, 2000, 20)
    assert ratio.std() / math.sqrt(20) < 0.01
    assert (ratio.mean() - 1).abs() < 5 * ratio.std() / math.sqrt(20)


@pytest.mark.parametrize("std", [0.4, 0.1])
def test_the_evidence_is_unbiased(std):
    """As estimates of p(y); 200 levels bring the bias of the steps below the standard error."""
    given = Measurement(G.measurement.y, G.measurement.operator, White(std))
    ratio = evidences(G.prior, given, Karras(0.05, 20.0).grid(200), 300, 16)
    assert ratio.std() / math.sqrt(16) < 0.2
    assert (ratio.mean() - 1).abs() < 5 * ratio.std() / math.sqrt(16)


def test_on_a_gaussian_draws_have_the_posterior():
    """Means and second moments over independent populations, within 5 standard errors, and the error of these small."""
    moments = []
    for seed in range(16):
        x = sample(G.prior, MCGDiff(G.measurement), Karras(0.02, 20.0).grid(80), n=200, seed=seed, like=DOUBLE).draws
        whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(G.covariance), (x - G.mean).T, upper=False)
        moments.append(torch.cat([whitened.mean(1), whitened.square().mean(1) - 1]))
    found = torch.stack(moments)
    error = found.std(0) / math.sqrt(16)
    assert error.max() < 0.2
    # a population of N is biased by order 1/N, as its variance is: here 16 error^2
    assert bool((found.mean(0).abs() < 5 * error + 16 * error**2).all())


@pytest.mark.parametrize("kappa", [1e-6, 1e-5, 1e-4, 1e-3])
def test_mode_weights(kappa):
    """Methods E27: total variation below 0.05 with 64 particles, whatever kappa; Gaussian reasoning has 0.2."""
    kernel = MCGDiff(M.measurement, oversampling=1, kappa=kappa)
    drawn = sample(M.prior, kernel, LEVELS, n=16 * 64, seed=5, like=DOUBLE, keep=All(batch=64)).draws
    shares = torch.stack([mode_weights(part, M.prior.means) for part in drawn.split(64)])
    error = shares.std(0) / math.sqrt(16)
    assert weight_error(shares.mean(0), M.weights) < 0.05
    # a population of N is biased by order 1/N: the variance of its weights, 16 error^2
    assert bool(((shares.mean(0) - M.weights).abs() < 4 * error + 16 * error**2 + 1 / 64).all())


def test_data_with_less_noise_than_kappa_get_that_much():
    """One pixel of variance 1, measured without noise: a posterior variance of kappa / (1 + kappa)."""
    n, kappa = 4000, 0.04
    prior = DiagonalGaussian(torch.zeros(1).double(), torch.ones(()).double())
    given = Measurement(number(0.5).reshape(1), Matrix(torch.ones(1, 1).double()), White(1e-6))
    sigmas = Karras(0.01, 20.0).grid(100)
    drawn = sample(prior, MCGDiff(given, kappa=kappa, oversampling=1), sigmas, n=n, seed=0, like=DOUBLE).draws
    assert drawn.mean().item() == pytest.approx(0.5 / (1 + kappa), abs=0.02)
    # resampling leaves about a third of the particles independent
    assert drawn.var().item() == pytest.approx(kappa / (1 + kappa), rel=5 * math.sqrt(2 * 3 / n) + 0.02)


def test_coils_and_complex_images():
    """Means over 4000 particles against the exact posterior of independent pixels seen by two coils."""
    shape = (1, 4, 4)
    operator = mri(cartesian_mask(shape, 2, generator=g(1)), birdcage(2, shape).to(torch.complex128))
    prior = DiagonalGaussian(complex_normal(*shape, seed=1), torch.full(shape, 0.5).double())
    y = operator(complex_normal(1, *shape, seed=2)) + 0.5 * complex_normal(1, *operator.shape_out, seed=3)
    given = Measurement(y, operator, White(0.5))
    sigmas, like = Karras(0.05, 10.0).grid(60), torch.empty(0, dtype=torch.complex128)
    drawn = sample(prior, MCGDiff(given), sigmas, n=1500, seed=0, like=like.new_empty(shape))
    exact = prior.posterior(given)
    gap = torch.view_as_real(drawn.draws.mean(0) - exact.mean)
    blind = torch.view_as_real(prior.mean - exact.mean)
    assert drawn.draws.dtype == torch.complex128
    assert drawn.cost.backward == 0
    assert gap.norm() < 0.35 * blind.norm()


def test_batches_are_independent_and_single_precision_stays_single():
    sigmas = Karras(0.05, 20.0).grid(8)
    kernel = MCGDiff(M.measurement)
    both = sample(M.prior, kernel, sigmas, n=10, seed=3, like=DOUBLE, keep=All(batch=5))
    alone = sample(M.prior, kernel, sigmas, n=5, seed=3, like=DOUBLE)
    assert torch.equal(both.draws[:5], alone.draws)
    assert both.cost.evaluations == 1 + 4 * 8
    assert both.cost.backward == 0
    single = sample(tb_m().prior.float(), kernel, sigmas, n=4, seed=0).draws
    assert single.dtype == torch.float32
    assert bool(single.isfinite().all())


def test_memory_of_another_level_is_not_used():
    s, t, u = (number(v) for v in (4.0, 2.0, 1.0))
    kernel, x = MCGDiff(M.measurement), 4 * normal(6, 2)
    state = kernel.step(M.prior, kernel.start(x), s, t, g())
    again = kernel.step(M.prior, state, u, number(0.5), g())
    fresh = kernel.step(M.prior, kernel.start(state.x), u, number(0.5), g())
    assert torch.equal(again.x, fresh.x)


@pytest.mark.parametrize("fields", [{"oversampling": 0}, {"threshold": 1.1}, {"kappa": 0.0}, {"kappa": 1.0}])
def test_bad_numbers_are_refused(fields):
    with pytest.raises(InputError):
        MCGDiff(M.measurement, **fields)
