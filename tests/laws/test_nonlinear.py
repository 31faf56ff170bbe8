"""Laws of forward models that are not linear: their linearization, and what measurements and posteriors make of it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from registry import assert_examples, with_example
from torch import Tensor

from scorefield import operators as ops
from scorefield import posteriors
from scorefield.errors import InputError
from scorefield.kernels import DAPS, Ancestral, Heun, Kernel, LiteralDPS, MarkovChain, SplitGibbs
from scorefield.linalg.covariance import Isotropic
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.posteriors import DDNM, DDRM, DDS, MMPS, AnnealedLikelihood, DiffPIR, PiGDM, ScoreALD, join
from scorefield.priors import Gaussian
from scorefield.reconstruction.pipeline import initial_image, reconstruct
from scorefield.samples import OnDisk
from scorefield.sampling import sample
from scorefield.schedules import Karras
from support import complex_normal, normal

REAL, COMPLEX = torch.float64, torch.complex128


class Squares(ops.Nonlinear):
    """A user's class: the squared magnitudes of ``C x``, complex or real, as a camera sees them."""

    dtype = COMPLEX

    def __init__(self, matrix: Tensor):
        super().__init__(matrix.shape[1:], matrix.shape[:1])
        self.matrix = matrix

    def _apply(self, x):
        return (x @ self.matrix.mT.to(x)).abs().square()


class Phases(ops.Nonlinear):
    """Real images to complex data."""

    def _apply(self, x):
        return torch.polar(1 + x.square(), 2 * x)


BEAM = ops.parallel_beam((1, 4, 5), [0.3, 1.2], 6, pixel_spacing=0.1)
# name: (operator, dtype of its images)
CASES = {
    "exponential": (lambda: ops.Exponential((2, 3)), REAL),
    "exponential, complex": (lambda: ops.Exponential((5,)), COMPLEX),
    "transmission": (lambda: ops.Exponential(BEAM.shape_out) @ BEAM, REAL),
    "before a linear one": (lambda: ops.Matrix(normal(3, 6)) @ ops.Exponential((6,)), REAL),
    "between": (lambda: ops.Matrix(normal(3, 6)) @ ops.Exponential((6,)) @ ops.Matrix(normal(6, 4)), REAL),
    "twice": (lambda: ops.Exponential((6,)) @ ops.Exponential((6,)), REAL),
    "sum": (lambda: ops.Identity((6,)) + ops.Exponential((6,)), REAL),
    "sum, other order": (lambda: ops.Exponential((6,)) + ops.Identity((6,)), REAL),
    "multiple": (lambda: -0.7 * ops.Exponential((6,)), REAL),
    "stack": (lambda: ops.Stack(ops.Exponential((2, 3)), ops.Identity((2, 3))), REAL),
    "offset": (lambda: ops.Offset(ops.Exponential((6,)), normal(6)), REAL),
    "offset, one for each image": (lambda: ops.Offset(ops.Exponential((6,)), normal(1, 6)), REAL),
    "squares": (lambda: Squares(complex_normal(7, 4)), COMPLEX),
    "squares of a real image": (lambda: Squares(complex_normal(7, 4)) @ ops.RealToComplex((4,)), REAL),
    "phases": (lambda: Phases((6,), (6,)), REAL),
    "multiple, complex": (lambda: (0.3 - 1.1j) * Phases((6,), (6,)), REAL),
}
for own in with_example(ops, ops.Nonlinear, {type(factory()) for factory, _ in CASES.values()}):
    CASES[own.__name__] = (own.example, COMPLEX if own.dtype.is_complex else REAL)
each = pytest.mark.parametrize("name", CASES)


def build(name: str) -> tuple[ops.Operator, Tensor, Tensor]:
    """The operator, images, and directions."""
    factory, dtype = CASES[name]
    operator, draw = factory(), complex_normal if dtype.is_complex else normal
    return operator, 0.5 * draw(3, *operator.shape_in, seed=1), draw(3, *operator.shape_in, seed=2)


def test_every_exported_class_has_a_case():
    assert_examples(ops, ops.Nonlinear, {type(factory()) for factory, _ in CASES.values()})


@each
def test_the_linearization_has_its_adjoint(name):
    operator, x, v = build(name)
    near, u = operator.at(x), torch.randn_like(operator(x))
    assert near.linear
    assert not operator.linear
    torch.testing.assert_close(inner(near(v), u), inner(v, near.H(u)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(near(0.3 * v + x), 0.3 * near(v) + near(x), rtol=1e-12, atol=1e-12)
    assert near.H(u).dtype == x.dtype


@each
def test_the_remainder_is_of_order_two(name):
    """Half the step, a quarter of what the linearization misses: F(x + h v) - F(x) - h J v = O(h^2)."""
    operator, x, v = build(name)
    near = operator.at(x)
    missed = [(operator(x + h * v) - operator(x) - h * near(v)).abs().square().sum().sqrt() for h in (1e-3, 5e-4)]
    assert missed[0] / missed[1] == pytest.approx(4, rel=0.02)


@each
def test_each_image_has_its_own(name):
    operator, x, v = build(name)
    alone = torch.cat([operator.at(x[i : i + 1])(v[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(operator.at(x)(v), alone)
    back = torch.cat([operator.at(x[i : i + 1]).H(operator(v)[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(operator.at(x).H(operator(v)), back)


@each
def test_products_of_the_linearization_are_differentiable(name):
    """As a posterior's own Jacobian asks: of J v with respect to v, not to x."""
    operator, x, v = build(name)
    near, leaf = operator.at(x.clone().requires_grad_()), v.clone().requires_grad_()
    (pulled,) = torch.autograd.grad(inner(near(leaf), operator(x)).sum(), leaf)
    torch.testing.assert_close(pulled, near.H(operator(x)))
    back = operator(x).clone().requires_grad_()
    (pulled,) = torch.autograd.grad(inner(near.H(back), v).sum(), back)
    torch.testing.assert_close(pulled, near(v))


@each
def test_no_adjoint_without_an_image(name):
    operator, x, _ = build(name)
    for call in (lambda: operator.H(operator(x)), lambda: operator.gram(x)):
        with pytest.raises(InputError, match=r"is not linear, so it has no adjoint; ask operator.at\(x\)"):
            call()
    with pytest.raises(InputError, match="is not linear"):
        operator.gram_solve(White(1.0), Isotropic(1.0), operator(x))
    with pytest.raises(InputError, match="is not linear"):
        ops.Exponential((3,)).H  # noqa: B018


@each
def test_blank_images_are_like_those_of_the_operator(name):
    operator, x, _ = build(name)
    blank = operator.blank(operator(x))
    assert blank.shape == (1, *operator.shape_in)
    assert blank.dtype == (COMPLEX if isinstance(operator, Squares) else x.dtype if "complex" not in name else REAL)


def test_a_linearization_is_for_as_many_images():
    near = Squares(complex_normal(7, 4)).at(complex_normal(3, 4))
    with pytest.raises(InputError, match="made at 3 images, got 2"):
        near(complex_normal(2, 4))


def test_a_linear_operator_is_its_own_linearization():
    operator = ops.Matrix(normal(3, 6)) @ (2.0 * ops.Identity((6,)) + ops.Mask(normal(6), (6,)))
    given = Measurement(normal(3), operator, White(0.1))
    assert operator.at(normal(2, 6)) is operator
    assert given.at(normal(2, 6)) is given


# --- measurements


@each
def test_the_residual_near_an_image(name):
    """y - F(x) - J (u - x)."""
    operator, x, v = build(name)
    given = Measurement(operator(v)[0], operator, White(0.3))
    near = given.at(x)
    expected = given.y - operator(x) - operator.at(x)(v - x)
    torch.testing.assert_close(near.residual(v), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(near.residual(x), given.residual(x), rtol=1e-11, atol=1e-11)
    assert near.operator.linear


@each
def test_the_score_is_the_slope_of_the_likelihood(name):
    """By central differences along a direction."""
    operator, x, v = build(name)
    given, h = Measurement(operator(0.3 * v)[0], operator, White(0.3)), 1e-5
    quotient = (given.log_likelihood(x + h * v) - given.log_likelihood(x - h * v)) / (2 * h)
    torch.testing.assert_close(inner(given.score(x), v), quotient, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(given.innovation(x, Isotropic(0.0)), given.score(x), rtol=1e-5, atol=1e-5)


# --- posteriors


def transmission(std: float = 0.02) -> tuple[Gaussian, Measurement, Tensor]:
    """exp(-A x) of smooth images: prior, data, truth."""
    place = torch.arange(20, dtype=REAL)
    covariance = 0.04 * torch.exp(-(((place[:, None] - place) / 3) ** 2) / 2) + 1e-6 * torch.eye(20, dtype=REAL)
    prior = Gaussian(torch.full((20,), 0.5, dtype=REAL), covariance)
    truth = prior.rsample(1, torch.Generator().manual_seed(3))
    rows = torch.rand(16, 20, dtype=REAL, generator=torch.Generator().manual_seed(4)).gt(0.6).double() / 6
    operator = ops.Exponential((16,)) @ ops.Matrix(rows)
    return prior, Measurement(operator(truth) + std * normal(1, 16, seed=5), operator, White(std)), truth


def misfit(given: Measurement, draws: Tensor) -> float:
    """Root mean square of the residual, in units of the noise."""
    return float(given.noise.whiten(given.residual(draws)).square().mean().sqrt())


def test_moment_matching_explains_a_transmission_scan():
    """Its draws miss the data by their noise, and are nearer to the truth than the prior's."""
    prior, given, truth = transmission()
    like, levels = torch.empty(0, dtype=REAL), Karras(0.002, 5.0).grid(40)
    posterior = MMPS(prior, given, iterations=16, tolerance=1e-6)
    found = sample(posterior, Heun(), levels, n=64, seed=0, like=like).draws
    # chi of 16 numbers: 1 within 5 standard errors 1 / sqrt(2 m)
    assert misfit(given, found) == pytest.approx(1, abs=5 / math.sqrt(32))
    assert misfit(given, prior.rsample(64)) > 4
    error, before = ((image - truth).square().mean().sqrt() for image in (found.mean(0), prior.mean))
    assert float(error) < 0.6 * float(before)


def test_moment_matching_is_gauss_newton_at_the_denoised_image():
    """D + V J^T (R + J V J^T)^-1 (y - F(D)), with J at D, written out."""
    prior, given, _ = transmission()
    x, sigma = prior.rsample(2, torch.Generator().manual_seed(6)) + 0.3 * normal(2, 20), 0.3
    rows, eye = given.operator.inner(torch.eye(20, dtype=REAL)).T, torch.eye(20, dtype=REAL)
    spread = sigma**2 * prior.covariance @ torch.linalg.inv(prior.covariance + sigma**2 * eye)
    found = MMPS(prior, given, iterations=16, tolerance=1e-12).denoise(x, sigma)
    for image, mean in zip(found, prior.denoise(x, sigma), strict=True):
        jacobian = -torch.exp(-rows @ mean)[:, None] * rows
        covariance = 0.02**2 * torch.eye(16, dtype=REAL) + jacobian @ spread @ jacobian.T
        gain = spread @ jacobian.T @ torch.linalg.inv(covariance)
        torch.testing.assert_close(image, mean + gain @ (given.y[0] - torch.exp(-rows @ mean)))


@pytest.mark.parametrize("cls", [MMPS, PiGDM, DiffPIR, DDS, DDNM, AnnealedLikelihood, ScoreALD])
def test_posteriors_take_the_nearest_linear_measurement(cls):
    """The same as the class given ``measurement.at`` of the image it compares with the data."""
    prior, given, _ = transmission()
    x, sigma = prior.rsample(2, torch.Generator().manual_seed(6)) + 0.3 * normal(2, 20), 0.3
    center = x if cls in (AnnealedLikelihood, ScoreALD) else prior.denoise(x, sigma)
    found, expected = cls(prior, given), cls(prior, given.at(center))
    torch.testing.assert_close(found.denoise(x, sigma), expected.denoise(x, sigma), rtol=1e-6, atol=1e-7)
    if cls is not AnnealedLikelihood:  # and its own Jacobian
        pulls = [posterior.linearize(x, sigma)[1](normal(2, 20, seed=8)) for posterior in (found, expected)]
        torch.testing.assert_close(*pulls, rtol=1e-5, atol=1e-5)


def test_the_published_dps_descends_the_residual_of_the_model():
    """grad |y - F(D(x))|, by automatic differentiation of all of it."""
    prior, given, _ = transmission()
    x, sigma = prior.rsample(2, torch.Generator().manual_seed(6)) + 0.3 * normal(2, 20), torch.tensor(0.3).double()
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(given.residual(prior.denoise(leaf, sigma)).norm(dim=1).sum(), leaf)

    def step(kernel: Kernel[Any]) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return kernel.step(prior, kernel.start(x), sigma, sigma / 2, generator).x

    frames = (1 + sigma**2).sqrt() * (1 + sigma**2 / 4).sqrt()  # of the published, variance-preserving images
    torch.testing.assert_close(step(LiteralDPS(given, zeta=0.7)), step(Ancestral()) - 0.7 * frames * slope)


@pytest.mark.parametrize("kernel", [DAPS, partial(SplitGibbs, likelihood=MarkovChain(steps=50))])
def test_chains_that_ask_the_score_explain_a_transmission_scan(kernel):
    prior, given, _ = transmission()
    levels = Karras(0.01, 1.0).grid(30)
    found = sample(prior, kernel(given), levels, n=32, seed=0, like=torch.empty(0, dtype=REAL)).draws
    assert misfit(given, found) == pytest.approx(1, abs=5 / math.sqrt(32))


def test_posteriors_that_need_an_adjoint_say_so():
    prior, given, _ = transmission()
    with pytest.raises(InputError, match="is not linear"):
        DDRM(prior, given)


def test_a_linear_and_a_nonlinear_scan_join():
    prior, given, _ = transmission()
    both = join(given, Measurement(normal(3), ops.Matrix(normal(3, 20)), White(0.1)))
    assert not both.operator.linear
    denoised = posteriors.MMPS(prior, both).denoise(normal(2, 20), 0.1)
    assert denoised.shape == (2, 20)
    assert both.at(normal(2, 20)).operator.shape_out == (19,)


def test_reconstruct_takes_a_nonlinear_scan(tmp_path):
    prior, given, _ = transmission()
    first = initial_image(given)
    assert misfit(given, first) < 1.5
    assert misfit(given, torch.zeros_like(first)) > 4
    found = reconstruct(prior, given, n=4, seed=0, keep=OnDisk(tmp_path / "draws.safetensors"))
    assert misfit(given, found.draws) == pytest.approx(1, abs=5 / math.sqrt(32))
