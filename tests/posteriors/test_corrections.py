"""Posteriors that correct the denoised image: dense formulas, real and complex, Jacobians, refusals."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from benches import tb_g
from scenes import OPERATORS, SHAPE, corrected, dense, eye, g, lines, scene, unflat

from scorefield.errors import InputError
from scorefield.linalg.parts import as_rows
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import (
    Fourier,
    Identity,
)
from scorefield.posteriors import (
    DDNM,
    DDRM,
    DDS,
    MMPS,
    TMPD,
    AnnealedLikelihood,
    DiffPIR,
    NormMatched,
    Projection,
    ScoreALD,
)
from scorefield.priors import DiagonalGaussian, IndependentParts
from scorefield.randomness import normal_like
from support import LinearDenoiser, complex_normal, normal

BENCH = tb_g()
SIGMAS = torch.tensor([0.05, 0.4, 3.0], dtype=torch.float64)
each = pytest.mark.parametrize("name", OPERATORS)


# --- formulas, on every kind of operator


@each
@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_diffpir_is_its_proximal_step(name, sigma):
    """E20: argmin |y - A u|^2 + rho |u - D|^2, rho = lambda std^2/sigma^2."""
    prior, given, x = scene(name)
    rho = 3.0 * 0.2**2 / sigma**2
    found = DiffPIR(prior, given, weight=3.0).denoise(x, sigma)
    expected = corrected(prior, given, x, sigma, lambda A: torch.linalg.solve(A.T @ A + rho * eye(A.shape[1]), A.T))
    # conjugate gradients inside gram_solve stop at a relative residual of 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@each
def test_dds_converged_is_its_linear_system(name):
    """E7: (I + gamma A^H A) u = D + gamma A^H y, gamma in units of the gain."""
    prior, given, x = scene(name)
    found, ridge = DDS(prior, given, gamma=2.0, iterations=60).denoise(x, 0.5), 0.5 * given.gain**2
    expected = corrected(prior, given, x, 0.5, lambda A: torch.linalg.solve(A.T @ A + ridge * eye(A.shape[1]), A.T))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gamma", [1.0, math.inf])
def test_dds_residual_falls_with_every_iteration(gamma):
    """E7: monotone, and rank(A) + 1 steps of the noise-free version are the projection."""
    x, sizes = normal(3, 8), []
    for steps in range(1, 6):
        found = DDS(BENCH.prior, BENCH.measurement, gamma=gamma, iterations=steps).denoise(x, 0.5)
        sizes.append(BENCH.measurement.residual(found).norm(dim=1))
    assert all((after <= before * (1 + 1e-9) + 1e-12).all() for before, after in pairwise(sizes))
    if gamma == math.inf:
        expected = DDNM(BENCH.prior, BENCH.measurement).denoise(x, 0.5)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)  # pyright: ignore
        assert sizes[-1].max().item() < 1e-6


@each
@pytest.mark.parametrize("cls", [DDNM, Projection])
def test_hard_consistency(name, cls):
    """E18: A D_y = A A^+ y, all of y where the data are in the range of A, and the least change that does it."""
    prior, given, x = scene(name)
    denoised = cls(prior, given).denoise(x, 0.3)
    A = dense(given.operator, x)
    fitted = as_rows(given.operator(denoised))
    expected = (A @ torch.linalg.pinv(A) @ as_rows(given.y).T).T
    torch.testing.assert_close(fitted, expected.expand_as(fitted), rtol=1e-7, atol=1e-7)
    if cls is DDNM:
        torch.testing.assert_close(denoised, corrected(prior, given, x, 0.3, torch.linalg.pinv), rtol=1e-7, atol=1e-7)
    clean = Measurement(given.operator(x[:1]), given.operator, White(0.1))
    residual = as_rows(clean.residual(cls(prior, clean).denoise(x, 0.3)))
    assert residual.abs().max().item() < 1e-6


@each
def test_projection_sees_a_projected_image(name):
    prior, given, x = scene(name)
    A = dense(given.operator, x)
    nearer = unflat(as_rows(x) + 0.6 * (as_rows(given.y) - as_rows(x) @ A.T) @ torch.linalg.pinv(A).T, x)
    expected = corrected(prior, given, nearer, 0.3, lambda A: 0.6 * torch.linalg.pinv(A))
    torch.testing.assert_close(Projection(prior, given, weight=0.6).denoise(x, 0.3), expected, rtol=1e-7, atol=1e-7)


def test_score_mri_replaces_measured_k_space():
    """E3: F^H((1 - M) F x + y) for one coil and coil by coil, around a denoiser that changes nothing."""
    for name, shape in (("k-space lines", SHAPE), ("coil by coil", (3, 4, 6))):
        _, given, x = scene(name)
        k, sampled = Fourier(shape)(x), lines(*SHAPE)
        expected = Fourier(shape).H(torch.where(sampled, given.operator.outer.H(given.y), k))  # pyright: ignore
        still = LinearDenoiser(eye(math.prod(shape)))
        torch.testing.assert_close(Projection(IndependentParts(still), given).denoise(x, 0.3), expected)
        assert given.residual(expected).abs().max().item() < 1e-12


class IdentityParts(IndependentParts):
    """A denoiser that changes nothing, for images of any phase: what is left is the projection."""


@each
def test_white_inflation(name):
    """E2: A^H (y - A x)/(std^2 + c g^2 sigma^2), g the gain."""
    prior, given, x = scene(name)
    found = ScoreALD(prior, given, inflation=0.5).score(x, SIGMAS)
    pull = given.operator.H(given.residual(x)) / (0.04 + 0.5 * (given.gain * SIGMAS) ** 2).reshape(
        -1, *[1] * (x.ndim - 1)
    )
    torch.testing.assert_close(found, prior.score(x, SIGMAS) + pull)
    if "k-space lines" in name or name == "inpainting":  # where A A^H = I
        torch.testing.assert_close(found, AnnealedLikelihood(prior, given, inflation=0.5).score(x, SIGMAS))


@each
def test_norm_matching(name):
    """E2, code: the data's part of the score is ``weight`` times as long as the prior's, and points downhill."""
    prior, given, x = scene(name)
    own = prior.score(x, SIGMAS)
    added = as_rows(NormMatched(prior, given, weight=5.0).score(x, SIGMAS) - own)
    downhill = as_rows(given.operator.H(given.residual(x)))
    torch.testing.assert_close(added.norm(dim=1), 5 * as_rows(own).norm(dim=1))
    torch.testing.assert_close(torch.cosine_similarity(added, downhill), torch.ones(3).double())


# --- Jacobians: a posterior may be conditioned again

LAWS = {
    "DiffPIR": lambda p, m: DiffPIR(p, m, weight=2.0),
    "DDS": lambda p, m: DDS(p, m, iterations=2),
    "DDNM": DDNM,
    "DDRM": DDRM,
    "Projection": lambda p, m: Projection(p, m, weight=0.7).draw(g(3)),
    "AnnealedLikelihood": AnnealedLikelihood,
    "ScoreALD": ScoreALD,
    "NormMatched": NormMatched,
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["blur", "coils"])
def test_the_jacobian_is_that_of_the_denoiser(law, name):
    """Real inner products: <w, J v> by central differences is <J^T w, v>, also around a posterior without a graph."""
    prior, given, x = scene(name)
    posterior = LAWS[law](MMPS(prior, given, iterations=30, tolerance=1e-12), given)
    v, w = normal_like(x, g(9)), normal_like(x, g(10))
    mean, vjp = posterior.linearize(x, SIGMAS)
    torch.testing.assert_close(mean, posterior.denoise(x, SIGMAS), rtol=1e-9, atol=1e-9)
    h = 1e-4
    change = (posterior.denoise(x + h * v, SIGMAS) - posterior.denoise(x - h * v, SIGMAS)) / (2 * h)
    found = (as_rows(vjp(w)) * as_rows(v)).sum(1)
    torch.testing.assert_close(found, (as_rows(w) * as_rows(change)).sum(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda m: DDNM(BENCH.prior, m, iterations=0),
        lambda m: DDS(BENCH.prior, m, iterations=0),
        lambda m: DDS(BENCH.prior, m, gamma=0),
        lambda m: DDS(BENCH.prior, m, gamma=math.nan),
        lambda m: DiffPIR(BENCH.prior, m, weight=0),
        lambda m: DDRM(BENCH.prior, m, eta=1.5),
        lambda m: DDRM(BENCH.prior, m, etab=math.nan),
        lambda m: Projection(BENCH.prior, m, weight=0),
        lambda m: Projection(BENCH.prior, m, weight=1.1),
        lambda m: Projection(BENCH.prior, m, iterations=0),
        lambda m: ScoreALD(BENCH.prior, m, inflation=-1),
        lambda m: ScoreALD(BENCH.prior, m, inflation=math.inf),
        lambda m: NormMatched(BENCH.prior, m, weight=0),
    ],
)
def test_bad_options_are_refused(make):
    with pytest.raises(InputError):
        make(BENCH.measurement)


def test_norm_matching_of_fitted_data_moves_nowhere():
    prior = DiagonalGaussian(torch.zeros(3).double(), torch.ones(()).double())
    given = Measurement(torch.ones(3).double(), Identity((3,)), White(1.0))
    x = torch.ones(1, 3).double()
    assert torch.equal(NormMatched(prior, given).denoise(x, 1.0), prior.denoise(x, 1.0))


def test_complex_starting_points_keep_their_phase():
    """E3: a constant phase on data and image is a constant phase on the answer."""
    _, given, x = scene("k-space lines")
    prior = IndependentParts(DiagonalGaussian(torch.zeros(SHAPE).double(), torch.tensor(0.7)))
    turn = complex_normal(1)[0] / complex_normal(1)[0].abs()
    turned = Measurement(turn * given.y, given.operator, given.noise)
    for cls in (Projection, DDNM, DiffPIR, DDRM, TMPD):
        torch.testing.assert_close(cls(prior, turned).denoise(turn * x, 0.4), turn * cls(prior, given).denoise(x, 0.4))
