"""The innovation is the same whether it is solved on the data or on the image."""

from __future__ import annotations

import math

import pytest
import torch
from test_operators import COMPLEX, REAL, build, dense, each, flat, images, randn, unflat
from torch import Tensor

from scorefield import operators as ops
from scorefield.measurement import Measurement
from scorefield.noise import Gaussian, Weighted, White
from scorefield.operators import DataSide, ImageSide, Side
from scorefield.operators.nonlinear import Linearization
from scorefield.posteriors import MMPS, DiffPIR, Exact, PiGDM
from scorefield.prior import Denoiser
from scorefield.priors import Gaussian as GaussianPrior
from support import normal

LEVELS = torch.tensor([0.05, 0.5, 5.0], dtype=REAL)


class OnTheImage(ops.Operator):
    """An operator that chooses the image side, without a closed form."""

    def __init__(self, operator: ops.Operator):
        super().__init__(operator.shape_in, operator.shape_out)
        self.operator = operator

    def _apply(self, x: Tensor) -> Tensor:
        return self.operator._apply(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator._adjoint(y)

    def weighted_gram(self, noise: Gaussian, x: Tensor) -> Tensor:
        return self.operator.weighted_gram(noise, x)

    def side(self, default: Side) -> Side:
        return ImageSide(default.operator, default.noise)


def noises(operator: ops.Operator) -> dict[str, Gaussian]:
    return {"white": White(0.7), "uneven": Weighted(0.5 + randn(*operator.shape_out, seed=3).abs())}


def precision(noise: Gaussian, like: Tensor) -> Tensor:
    """R^-1 as a real matrix."""
    return dense(noise.solve, like)


def covariance(size: int) -> Tensor:
    root = randn(size, size, seed=14) / math.sqrt(size)
    return root @ root.mT + 0.1 * torch.eye(size, dtype=REAL)


@each
@pytest.mark.parametrize("law", ["white", "uneven"])
def test_weighted_gram(name, law):
    operator, _ = build(name)
    x = images(name)
    noise, A = noises(operator)[law], dense(operator, x)
    expected = A.mT @ precision(noise, operator(x)) @ A
    found = dense(lambda u: operator.weighted_gram(noise, u), x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@each
@pytest.mark.parametrize("law", ["white", "uneven"])
@pytest.mark.parametrize("isotropic", [True, False])
def test_innovation_on_either_side_is_that_of_matrices(name, law, isotropic):
    operator, _ = build(name)
    x = images(name)
    r = normal_data(operator, x)
    noise, A = noises(operator)[law], dense(operator, x)
    V = 0.8 * torch.eye(A.shape[1], dtype=REAL) if isotropic else covariance(A.shape[1])
    spread = ops.Isotropic(torch.tensor(0.8, dtype=REAL)) if isotropic else lambda u: unflat(flat(u) @ V, u)
    gram = A.mT @ precision(noise, r) @ A
    pulled = flat(r) @ precision(noise, r) @ A
    matrix = torch.eye(len(gram), dtype=REAL) + gram @ V
    expected = torch.linalg.solve(matrix, pulled.mT).mT
    size = 2e-6 * torch.linalg.cond(matrix) * pulled.norm()
    for each_operator in (operator, OnTheImage(operator)):
        found = flat(each_operator.innovation(noise, spread, r))
        assert (found - expected).norm() <= size


def normal_data(operator: ops.Operator, x: Tensor) -> Tensor:
    y = operator(x)
    return randn(*y.shape, dtype=COMPLEX if y.is_complex() else REAL, seed=13)


def test_the_image_side_where_some_draws_have_no_spread():
    operator = OnTheImage(ops.Matrix(randn(9, 4)))
    r, variance = randn(3, 9), torch.tensor([0.5, 0.0, 2.0], dtype=REAL)
    found = operator.innovation(White(0.6), ops.Isotropic(variance), r)
    expected = operator.operator.innovation(White(0.6), ops.Isotropic(variance), r)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], operator.H(r)[1] / 0.36)


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a @ ops.Mask(randn(4), (4,)),
        lambda a: ops.Mask(randn(9), (9,)) @ a,
        lambda a: ops.Whitening(White(2.0), (9,)) @ a @ ops.Identity((4,)),
        lambda a: 3 * a,
        lambda a: a + ops.Matrix(randn(9, 4)),
        lambda a: ops.Matrix(randn(9, 4)) + a,
        lambda a: ops.Stack(a, ops.Identity((4,))),
        lambda a: ops.Stack(ops.Identity((4,)), a),
        lambda a: (ops.Exponential((9,)) @ a).at(randn(3, 4)),
        lambda a: ops.Offset(a, randn(9)).at(randn(3, 4)),
        lambda a: Linearization(a, randn(3, 4)),
    ],
)
def test_the_algebra_asks_its_parts(make):
    overdetermined, plain = make(OnTheImage(ops.Matrix(randn(9, 4)))), make(ops.Matrix(randn(9, 4)))
    for whole, kind in ((overdetermined, ImageSide), (plain, DataSide)):
        side = whole.side(DataSide(whole, White(0.5)))
        assert type(side) is kind
        assert side.operator is whole


class Counting(Denoiser):
    """A prior that counts the products by its Jacobian."""

    def __init__(self, prior: Denoiser):
        super().__init__()
        self.prior, self.event_shape, self.products = prior, prior.event_shape, 0

    def denoise(self, x, sigma):
        return self.prior.denoise(x, sigma)

    def linearize(self, x, sigma):
        mean, vjp = self.prior.linearize(x, sigma)

        def count(v):
            self.products += 1
            return vjp(v)

        return mean, count


def scan(noise: Gaussian, *, image: bool) -> Measurement:
    """An overdetermined scan: 30 data of 8 pixels."""
    operator = ops.Matrix(normal(30, 8, seed=2))
    return Measurement(normal(30, seed=1), OnTheImage(operator) if image else operator, noise)


PRIOR = GaussianPrior(normal(8, seed=7), covariance(8))
NOISES = {
    "white": White(0.3),
    "weighted": Weighted(0.2 + normal(30, seed=5).abs()),
}
each_noise = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)


@each_noise
@pytest.mark.parametrize("sigma", LEVELS)
def test_moment_matching_is_exact_on_either_side(noise, sigma):
    x = 2 * normal(3, 8)
    expected = Exact(PRIOR, scan(noise, image=False)).denoise(x, sigma)
    for image in (False, True):
        found = MMPS(PRIOR, scan(noise, image=image), iterations=30, tolerance=1e-12).denoise(x, sigma)
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


@each_noise
@pytest.mark.parametrize("sigma", LEVELS)
def test_the_solution_on_the_data_is_that_of_the_data_side(noise, sigma):
    x = 2 * normal(3, 8)
    _, vjp = PRIOR.linearize(x, sigma)
    r = normal(3, 30, seed=6)
    solved = [
        MMPS(PRIOR, scan(noise, image=image), iterations=30, tolerance=1e-13).solve(sigma**2, vjp, r)
        for image in (False, True)
    ]
    for data, image in zip(*solved, strict=True):
        torch.testing.assert_close(data, image, rtol=1e-6, atol=1e-6)


@each_noise
@pytest.mark.parametrize("sigma", LEVELS)
@pytest.mark.parametrize("tolerance", [1e-3, 1e-9])
def test_an_overdetermined_scan_takes_no_more_products_on_the_image(noise, sigma, tolerance):
    products = []
    for image in (False, True):
        prior = Counting(PRIOR)
        MMPS(prior, scan(noise, image=image), iterations=30, tolerance=tolerance).denoise(2 * normal(3, 8), sigma)
        products.append(prior.products)
    on_data, on_image = products
    assert on_image <= on_data <= 30


@pytest.mark.parametrize("cls", [DiffPIR, PiGDM])
def test_posteriors_with_isotropic_spreads_do_not_depend_on_the_side(cls):
    x = 2 * normal(3, 8)
    found, expected = (cls(PRIOR, scan(White(0.3), image=image)).denoise(x, LEVELS) for image in (True, False))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("scale", [1.0, -1.0, 30.0])
def test_no_solution_on_the_data_is_longer_than_the_data(image, scale):
    """Of a Jacobian that is neither symmetric nor positive."""
    noise, crooked = White(0.1), scale * normal(8, 8, seed=11)
    given, r = scan(noise, image=image), normal(5, 30, seed=6)
    data, pulled = MMPS(PRIOR, given, iterations=3).solve(torch.tensor(2.0), lambda v: v @ crooked, r)
    u, white = noise.color(data), noise.whiten(r)
    assert pulled.isfinite().all()
    assert (u.norm(dim=1) <= white.norm(dim=1) * (1 + 1e-9)).all()
    if image:
        torch.testing.assert_close(u, white - noise.whiten(given.operator(2 * pulled)))
    assert (u - white).norm() > 1e-6 or (pulled == 0).all()


def test_a_toeplitz_gram_is_asked_in_place_of_two_products():
    class Convolution(OnTheImage):
        calls = 0

        def weighted_gram(self, noise, x):
            self.calls += 1
            return self.operator.weighted_gram(noise, x)

        def _apply(self, x):
            raise AssertionError("the image side of an innovation multiplies by A^H R^-1 A")

    operator = Convolution(ops.Matrix(randn(9, 4)))
    whole = 2 * (operator @ ops.Mask(randn(4), (4,)))
    found = whole.innovation(White(0.5), lambda u: 0.3 * u, randn(2, 9))
    assert found.shape == (2, 4)
    assert operator.calls > 1
