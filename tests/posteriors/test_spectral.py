"""DDRM and TMPD, and the spectra that DDRM asks for, against dense matrices, real and complex."""

from __future__ import annotations

import pytest
import torch
from scenes import OPERATORS, SHAPE, Uneven, corrected, dense, eye, g, scene
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import as_rows
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import (
    Matrix,
    birdcage,
    cartesian_mask,
    mri,
)
from scorefield.operators.spectrum import LARGEST, InBlocks, InData, Spectrum, few_data, few_pixels
from scorefield.posteriors import (
    DDRM,
    MMPS,
    TMPD,
)
from scorefield.posteriors.ddrm import restoration_gain
from scorefield.priors import DiagonalGaussian, IndependentParts
from scorefield.randomness import normal_like
from support import normal

SIGMAS = torch.tensor([0.05, 0.4, 3.0], dtype=torch.float64)
each = pytest.mark.parametrize("name", OPERATORS)


@each
@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("etab", [0.6, 1.0])
def test_ddrm_is_its_gain_in_the_singular_basis(name, uneven, etab):
    prior, given, x = scene(name)
    if uneven:
        values = (0.05 + torch.rand(given.operator.shape_out, generator=g(8), dtype=torch.float64)) ** 2
        given = Measurement(given.y, given.operator, Uneven(values))
    std = given.noise.variance.expand(given.operator.shape_out).sqrt()
    scales = as_rows((torch.complex(std, std) if given.y.is_complex() else std)[None])[0]

    def gain(A: Tensor) -> Tensor:
        U, d, Vt = torch.linalg.svd(A / scales[:, None], full_matrices=False)
        weight = restoration_gain(0.3 * d, 0.5, etab)
        inverse = torch.where(d > 1e-9 * d.max(), weight / d, 0)
        return Vt.T @ (inverse[:, None] * U.T) / scales

    found = DDRM(prior, given, eta=0.5, etab=etab).denoise(x, 0.3)
    expected = corrected(prior, given, x, 0.3, gain)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


def test_restoration_gain():
    found = restoration_gain(torch.tensor([0.0, 0.5, 0.999, 1.0, 9.0]), 0.6, 0.9)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.4, 0.7992, 0.9, 0.9]))


# --- TMPD


@pytest.mark.parametrize("name", ["inpainting", "weights"])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_tmpd_is_exact_where_the_data_covariance_is_diagonal(name, sigma):
    """E23: inpainting of a diagonal Gaussian, to 1e-6 of moment matching and of the exact law."""
    prior, given, x = scene(name)
    found = TMPD(prior, given).denoise(x, sigma)
    exact = MMPS(prior, given, iterations=24, tolerance=1e-12).denoise(x, sigma)
    torch.testing.assert_close(found, exact, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found, prior.posterior(given).denoise(x, sigma), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_tmpd_on_complex_k_space_of_a_white_image(sigma):
    _, given, x = scene("k-space lines")
    prior = IndependentParts(DiagonalGaussian(normal(*SHAPE), torch.tensor(0.7)))
    found = TMPD(prior, given).denoise(x, sigma)
    torch.testing.assert_close(found, MMPS(prior, given, tolerance=1e-12).denoise(x, sigma), rtol=1e-8, atol=1e-8)


def test_tmpd_divides_by_row_sums():
    prior, given, x = scene("averages")
    A, s = dense(given.operator, x), 0.4
    J = as_rows(prior.linearize(x[:1], s)[1](torch.ones_like(x[:1])))[0].diag()
    V = s**2 * J
    rows = (A @ V @ A.T).sum(1)
    expected = corrected(prior, given, x, s, lambda A: V @ A.T / (rows + 0.04))
    torch.testing.assert_close(TMPD(prior, given).denoise(x, s), expected)


def test_tmpd_refuses_mixed_signs_and_clamps_small_ones():
    prior = DiagonalGaussian(torch.zeros(2).double(), torch.ones(()).double())
    rows = torch.tensor([[1.0, 0.0], [-2.0, 0.1]], dtype=torch.float64)  # A A^T 1 = (-1, 2.01)
    given = Measurement(torch.ones(2).double(), Matrix(rows), White(0.1))
    with pytest.raises(InputError, match=r"row sums .* use MMPS"):
        TMPD(prior, given).denoise(torch.zeros(1, 2).double(), 1.0)
    mild = Measurement(given.y[0], given.operator, White(2.0))  # sigma^2 J = 1/2: -1/2 is above -4
    found = TMPD(prior, mild).denoise(torch.zeros(1, 2).double(), 1.0)
    expected = 0.5 * rows.T @ (mild.y[0] / torch.tensor([4.0, 5.005]))
    torch.testing.assert_close(found[0], expected.double())


# --- the spectrum

KINDS = {  # and every operator may be a few data
    "inpainting": InData,
    "weights": InData,
    "averages": InData,
    "k-space lines": InData,
    "coil by coil": InData,
    "real image in k-space": InBlocks,
    "coils": InBlocks,
    "blur": InBlocks,
}


def spectrum_of(given: Measurement, **ways) -> Spectrum:
    return Spectrum(given.whitened.operator, given.y, **ways)


def check(spectrum: Spectrum, given: Measurement, x: Tensor) -> None:
    """Everything a spectrum says, against the dense singular values of B."""
    B = dense(given.operator, x) / 0.2
    v = normal_like(given.y.expand(3, *given.y.shape[1:]), g(11))
    kept = spectrum.d > 0
    exact = torch.linalg.svdvals(B)
    rank = int((exact > 1e-9 * exact[0]).sum())
    assert int(kept.sum()) == rank
    torch.testing.assert_close(spectrum.d[kept].sort(descending=True).values, exact[:rank], rtol=1e-8, atol=1e-8)
    rows = normal(5, spectrum.d.shape[1], seed=12) * kept
    images = spectrum.compose(rows)
    assert images.dtype == x.dtype
    torch.testing.assert_close(spectrum.coordinates(images), rows, rtol=1e-8, atol=1e-8)  # V^T V = 1
    seen = as_rows(x) @ (torch.linalg.pinv(B) @ B).T  # V V^T is the projection on what is measured
    torch.testing.assert_close(as_rows(spectrum.compose(spectrum.coordinates(x))), seen, rtol=1e-8, atol=1e-8)
    inverse = as_rows(v / 0.2) @ torch.linalg.pinv(B).T
    torch.testing.assert_close(as_rows(spectrum.compose(spectrum.from_data(v / 0.2))), inverse, rtol=1e-7, atol=1e-7)
    single = spectrum.compose(spectrum.from_data((v / 0.2).to(torch.complex64 if v.is_complex() else torch.float32)))
    assert single.real.dtype is torch.float32


@each
def test_singular_values_and_directions(name):
    _, given, x = scene(name)
    spectrum = spectrum_of(given)
    assert type(spectrum.directions) is KINDS[name]
    check(spectrum, given, x)


@pytest.mark.parametrize("name", ["coils", "real image in k-space", "blur"])
@pytest.mark.parametrize("way", [few_data, few_pixels])
def test_the_same_without_structure(name, way):
    """An operator whose axes are mixed by a rotation of the pixels has few data, or few pixels, or is refused."""
    _, given, x = scene(name)
    check(spectrum_of(given, ways=(way,)), given, x)


def test_coils_of_uneven_noise_are_no_blocks():
    _, given, x = scene("coils")
    values = (0.05 + torch.rand(given.operator.shape_out, generator=g(8), dtype=torch.float64)) ** 2
    assert type(spectrum_of(Measurement(given.y, given.operator, Uneven(values))).directions) is InData
    assert x.is_complex()


def test_large_operators_of_unknown_spectrum_are_refused():
    shape = (1, 64, 64)
    scattered = torch.rand(shape, generator=g()) < 0.5
    coils = mri(scattered, birdcage(4, shape))
    given = Measurement(torch.zeros(coils.shape_out, dtype=torch.complex64), coils, White(1.0))
    with pytest.raises(InputError, match=r"singular values of .* use DiffPIR"):
        DDRM(IndependentParts(DiagonalGaussian(torch.zeros(shape), torch.ones(()))), given)
    single = mri(torch.ones(1, 256, 256, dtype=torch.bool))  # large, but known
    cartesian = mri(cartesian_mask(shape, 2, generator=g()), birdcage(4, shape))
    for known in (single, cartesian):
        Spectrum(known, torch.zeros(1, *known.shape_out, dtype=torch.complex64))


def test_a_tall_matrix_is_one_block():
    """More data than can be decomposed, of few unknowns: those can."""
    given = Measurement(normal(LARGEST + 1), Matrix(normal(LARGEST + 1, 7, seed=1)), White(0.2))
    spectrum = spectrum_of(given)
    assert type(spectrum.directions) is InBlocks
    check(spectrum, given, normal(3, 7, seed=2))


def test_a_large_dense_matrix_is_no_diagonal():
    """A coupling of two data that random signs would miss half the time is found."""
    for seed in range(20):
        A = eye(6)
        A[0, 1] = 0.01
        given = Measurement(normal(6, seed=seed), Matrix(A), White(1.0))
        directions = spectrum_of(given).directions
        assert isinstance(directions, InData)
        assert directions.basis is not None


@each
def test_ddrm_takes_its_spectrum_along(name):
    prior, given, _ = scene(name)
    spectrum = DDRM(prior, given)._spectrum.to("meta")
    assert (spectrum.d.device.type, spectrum.directions.squares.device.type) == ("meta", "meta")
    moved = DDRM(prior, given).to("meta")._spectrum
    assert moved.d.device.type == "meta"
