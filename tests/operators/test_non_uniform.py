"""The Fourier transform at any points: against dense sums, the grid, and the exact posterior."""

from __future__ import annotations

import copy
import math
import sys

import pytest
import torch
from torch import Tensor

import scorefield as sf
from scorefield import operators as ops
from scorefield.errors import InputError
from scorefield.noise import Weighted, White
from scorefield.operators import DataSide, ImageSide
from support import complex_normal, normal

pytest.importorskip("finufft", reason="finufft, of the extra mri, does these sums")

COMPLEX = torch.complex128
TRAJECTORIES = {
    "radial": lambda: ops.radial(7, 24),
    "golden": lambda: ops.radial(7, 24, step=ops.GOLDEN_ANGLE),
    "spiral": lambda: ops.spiral(3, 50, turns=3),
}
each = pytest.mark.parametrize("trajectory", TRAJECTORIES)


def dense(points: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The matrix (m, n) of the definition."""
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in sizes]
    pixels = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(sizes))
    turns = points.reshape(-1, len(sizes)) @ pixels.mT
    return torch.polar(torch.full_like(turns, len(pixels) ** -0.5), -2 * math.pi * turns)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@each
@pytest.mark.parametrize(("dtype", "size"), [(torch.complex128, 1e-12), (torch.complex64, 1e-5)])
def test_products_are_the_dense_sums(trajectory, dtype, size):
    points = TRAJECTORIES[trajectory]()
    A, F = ops.NonUniformFourier((2, 16, 16), points), dense(points, (16, 16))
    x, y = complex_normal(3, 2, 16, 16), complex_normal(3, *A.shape_out)
    assert relative(A(x.to(dtype)).flatten(2), x.flatten(2) @ F.mT) < size
    assert relative(A.H(y.to(dtype)).flatten(2), y.flatten(2) @ F.conj()) < size
    assert A(x.to(dtype)).dtype == dtype


@pytest.mark.parametrize(("dtype", "size"), [(torch.complex128, 1e-12), (torch.complex64, 1e-6)])
def test_the_adjoint_in_three_dimensions_and_odd_sizes(dtype, size):
    points = normal(40, 3).clamp(-1, 1) / 2
    A = ops.NonUniformFourier((2, 5, 6, 7), points)
    x, y = complex_normal(2, 2, 5, 6, 7).to(dtype), complex_normal(2, 2, 40).to(dtype)
    left, right = (A(x).conj() * y).sum(), (x.conj() * A.H(y)).sum()
    assert abs(complex(left - right)) < size * float(A(x).norm() * y.norm())
    assert relative(A(x).flatten(2), x.to(COMPLEX).flatten(2) @ dense(points, (5, 6, 7)).mT) < 10 * size


def test_on_the_grid_it_is_the_sampled_fourier_transform():
    shape, mask = (2, 6, 7), normal(6, 7) > 0
    points = mask.nonzero() - torch.tensor([3, 3])
    A = ops.NonUniformFourier(shape, points / torch.tensor([6.0, 7.0], dtype=torch.float64))
    x = complex_normal(3, *shape)
    torch.testing.assert_close(A(x), (ops.Sample(mask, shape) @ ops.Fourier(shape))(x), rtol=1e-12, atol=1e-12)


@each
@pytest.mark.parametrize("law", ["white", "by sample", "by coil", "by coil and sample"])
def test_the_convolution_is_the_direct_product(trajectory, law):
    points = TRAJECTORIES[trajectory]()
    A = ops.non_cartesian_mri(points, complex_normal(3, 15, 16))
    shape = {"by sample": points.shape[:2], "by coil": (3, 1, 1), "by coil and sample": A.shape_out}.get(law, (1,))
    noise = White(0.7) if law == "white" else Weighted(0.5 + normal(*shape).abs())
    x = complex_normal(2, 1, 15, 16)
    for dtype, size in ((torch.complex128, 1e-11), (torch.complex64, 1e-5)):
        direct = A.H(noise.solve(A(x)))
        assert relative(A.weighted_gram(noise, x.to(dtype)), direct) < size


def test_the_convolution_follows_its_weights():
    A, x = ops.NonUniformFourier((1, 8, 8), ops.radial(5, 12)), complex_normal(1, 1, 8, 8)
    for level in (normal(5, 12).abs() + 0.5, normal(5, 12).abs() + 0.2, torch.tensor([0.3])):
        noise = Weighted(level)
        assert relative(A.weighted_gram(noise, x), A.H(noise.solve(A(x)))) < 1e-6


def test_solves_are_on_the_image_where_data_outnumber_its_pixels():
    for spokes, side in ((2, DataSide), (20, ImageSide)):
        A = ops.non_cartesian_mri(ops.radial(spokes, 8), torch.ones(2, 8, 8, dtype=COMPLEX))
        assert type(A.side(DataSide(A, White(1.0)))) is side


@pytest.mark.parametrize("points", [ops.radial(40, 48), ops.spiral(12, 300, turns=2.0)])
def test_density_makes_the_adjoint_an_inverse(points):
    A = ops.NonUniformFourier((1, 24, 24), points)
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, 24, dtype=torch.float64)] * 2, indexing="ij")
    x = (torch.exp(-6 * (rows**2 + (columns - 0.2) ** 2)) + 0j).reshape(1, 1, 24, 24)
    weights = A.density()
    assert bool((weights > 0).all())
    assert relative(A.H(weights * A(x)), x) < 0.05
    assert relative(A.gram(x), x) > 0.5


def test_density_of_a_full_grid_is_one():
    points = (torch.cartesian_prod(torch.arange(6), torch.arange(5)) - torch.tensor([3, 2])).double()
    A = ops.NonUniformFourier((1, 6, 5), points / torch.tensor([6, 5]))
    torch.testing.assert_close(A.density(), torch.ones(30, dtype=torch.float64))


def test_the_derivative_is_the_adjoint():
    A = ops.NonUniformFourier((1, 4, 4), ops.radial(3, 5))
    x = complex_normal(2, 1, 4, 4).requires_grad_()
    y = complex_normal(2, 1, 3, 5)
    (A(x).conj() * y).sum().real.backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, A.H(y))


def test_a_copy_makes_plans_of_its_own():
    A, x = ops.NonUniformFourier((1, 4, 4), ops.radial(3, 5)), complex_normal(1, 1, 4, 4)
    y = A(x)
    torch.testing.assert_close(copy.deepcopy(A)(x), y)


def test_trajectories_lie_where_they_say():
    k = ops.radial(4, 6)
    assert torch.equal(k[:, 3], torch.zeros(4, 2).double())
    torch.testing.assert_close(k[1, 0], -torch.tensor([1, 1]).double() / math.sqrt(8))
    turn = ops.radial(2, 4, step=ops.GOLDEN_ANGLE)[1, 0]
    assert math.degrees(math.atan2(-turn[1], -turn[0])) == pytest.approx(111.246, abs=1e-3)
    s = ops.spiral(2, 5, turns=1.0)
    torch.testing.assert_close(s[:, -1], torch.tensor([[0.5, 0], [-0.5, 0]]).double())
    torch.testing.assert_close(s[0, 1], torch.tensor([-0.25, 0]).double())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ops.NonUniformFourier((1, 4, 4), math.pi * torch.ones(3, 2)), "divide radians"),
        (lambda: ops.NonUniformFourier((1, 4, 4), torch.zeros(3, 3)), "has shape"),
        (lambda: ops.NonUniformFourier((1, 4, 4), torch.full((3, 2), math.nan)), "NaN"),
        (lambda: ops.NonUniformFourier((1, 4), torch.zeros(3, 1)), "axes"),
        (lambda: ops.radial(0, 4), "empty"),
        (lambda: ops.spiral(1, 4, turns=0.0), "turns"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "finufft", None)
    with pytest.raises(InputError, match=r"scorefield\[mri\]"):
        ops.NonUniformFourier.example()(complex_normal(1, 2, 4, 5))


def test_a_radial_scan_has_the_exact_posterior():
    shape, points, noise = (1, 32, 32), ops.radial(16, 40), White(0.5)
    maps = ops.birdcage(2, shape).to(COMPLEX)
    A = ops.non_cartesian_mri(points, maps) @ ops.RealToComplex(shape)
    assert isinstance(A.side(DataSide(A, noise)), ImageSide)
    prior = sf.priors.DiagonalGaussian(torch.zeros(shape).double(), 0.5 + normal(*shape).abs())
    measurement = sf.Measurement(noise.corrupt(A(normal(1, *shape)))[0], A, noise)
    x, matrix = normal(1, *shape), (dense(points, shape[1:]) * maps.reshape(2, 1, -1)).reshape(-1, 1024)
    real = torch.view_as_real(matrix.mT.contiguous()).flatten(1)
    gram = real @ real.mT
    for sigma in (0.1, 1.0):
        curvature = gram / 0.25 + (1 / prior.variance.flatten() + 1 / sigma**2).diag()
        pull = (matrix.mH @ measurement.y.flatten()).real / 0.25 + x.flatten() / sigma**2
        mean = torch.linalg.solve(curvature, pull).reshape(1, *shape)
        for posterior in (
            sf.posteriors.Exact(prior, measurement),
            sf.posteriors.MMPS(prior, measurement, iterations=200),
        ):
            assert relative(posterior.denoise(x, sigma), mean) < 1e-3
