"""Laws every linear operator obeys, over every exported class, in float64 against dense real matrices.

A complex space is seen as pairs of reals throughout: that is the inner product the library uses.
"""

from __future__ import annotations

import math

import pytest
import torch
from registry import assert_examples, exported, with_example
from torch import Tensor

from scorefield import operators as ops
from scorefield.errors import InputError
from scorefield.noise import Colored, Independent, Weighted, White
from scorefield.randomness import normal_like

REAL, COMPLEX = torch.float64, torch.complex128


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, dtype: torch.dtype = REAL, seed: int = 0) -> Tensor:
    return normal_like(torch.empty(shape, dtype=dtype), seeded(seed))


def lines(*shape: int) -> Tensor:
    return ops.cartesian_mask(shape, 2, center_fraction=0.2, generator=seeded(1))


def scattered(*shape: int) -> Tensor:
    return torch.rand(shape, generator=seeded(2)) < 0.4


ROOT = randn(3, 3, dtype=COMPLEX, seed=4)
COVARIANCE = ROOT @ ROOT.mH + 0.1 * torch.eye(3)

# name: (operator, dtype of its images, closed form of the innovation's covariance for white noise)
CASES = {
    "identity": (lambda: ops.Identity((2, 3, 4)), REAL, True),
    "identity, complex vector": (lambda: ops.Identity((5,)), COMPLEX, True),
    "matrix, wide": (lambda: ops.Matrix(randn(4, 7)), REAL, True),
    "matrix, tall": (lambda: ops.Matrix(randn(7, 4)), REAL, True),
    "matrix, complex": (lambda: ops.Matrix(randn(6, 5, dtype=COMPLEX)), COMPLEX, True),
    "matrix, real on complex": (lambda: ops.Matrix(randn(3, 5)), COMPLEX, True),
    "mask, weights": (lambda: ops.Mask(randn(4, 1), (2, 4, 3)), REAL, True),
    "mask, boolean": (lambda: ops.Mask(scattered(4, 3), (1, 4, 3)), COMPLEX, True),
    "mix": (lambda: ops.Mix(randn(2, 3), (3, 4, 5)), REAL, False),
    "mix, complex": (lambda: ops.Mix(randn(4, 3, dtype=COMPLEX), (3, 6)), COMPLEX, False),
    "sample, shared": (lambda: ops.Sample(scattered(4, 5), (3, 4, 5)), COMPLEX, True),
    "sample, one channel": (lambda: ops.Sample(scattered(1, 4, 5), (1, 4, 5)), REAL, True),
    "sample, by channel": (lambda: ops.Sample(scattered(3, 4, 5), (3, 4, 5)), REAL, True),
    "sample, vector": (lambda: ops.Sample(scattered(9), (9,)), REAL, True),
    "real to complex": (lambda: ops.RealToComplex((1, 3, 4)), REAL, True),
    "differences": (lambda: ops.Differences((2, 4, 5)), REAL, False),
    "differences, complex, 3-D": (lambda: ops.Differences((1, 2, 3, 4)), COMPLEX, False),
    "differences, vector": (lambda: ops.Differences((7,)), REAL, False),
    "fourier, even": (lambda: ops.Fourier((2, 4, 6)), COMPLEX, True),
    "fourier, odd": (lambda: ops.Fourier((1, 5, 7)), COMPLEX, True),
    "fourier, 3-D": (lambda: ops.Fourier((1, 2, 3, 4)), COMPLEX, True),
    "non-uniform fourier": (ops.NonUniformFourier.example, COMPLEX, False),
    "coils": (lambda: ops.Coils(randn(3, 4, 5, dtype=COMPLEX)), COMPLEX, True),
    "mri, single coil": (lambda: ops.mri(lines(1, 6, 7)), COMPLEX, True),
    "mri, coils": (lambda: ops.mri(lines(1, 5, 8), ops.birdcage(3, (1, 5, 8))), COMPLEX, False),
    "mri, coils, points": (
        lambda: ops.mri(randn(1, 5, 6) > 0, ops.birdcage(2, (1, 5, 6))),
        COMPLEX,
        False,
    ),
    "mri, coils, rows": (lambda: ops.Sense(lines(1, 8, 5).mT, ops.birdcage(3, (1, 5, 8))), COMPLEX, False),
    "mri, coils, 3-D": (lambda: ops.mri(lines(1, 2, 4, 5), ops.birdcage(2, (1, 2, 4, 5))), COMPLEX, False),
    "mri, real image": (
        lambda: ops.mri(lines(1, 5, 6), ops.birdcage(2, (1, 5, 6))) @ ops.RealToComplex((1, 5, 6)),
        REAL,
        False,
    ),
    "blur": (lambda: ops.Blur((2, 5, 6), randn(3, 4)), REAL, True),
    "blur, complex image": (lambda: ops.Blur((1, 4, 5), randn(4, 1)), COMPLEX, True),
    "downsample": (lambda: ops.Downsample((2, 6, 4), 2), REAL, True),
    "downsample, thick slices": (lambda: ops.Downsample((1, 6, 2, 4), (3, 1, 2)), COMPLEX, True),
    "parallel beam": (
        lambda: ops.parallel_beam((2, 7, 8), [0.1, 0.9, 2.2], 9, pixel_spacing=0.8),
        REAL,
        False,
    ),
    "parallel beam, complex": (lambda: ops.parallel_beam((1, 4, 5), [0.3, 1.2], 6), COMPLEX, False),
    "fan beam": (
        lambda: ops.fan_beam((1, 8, 6), [0.2, 2.5, 4.0], 7, source_distance=9, detector_distance=8, detector_spacing=3),
        REAL,
        False,
    ),
    "adjoint": (lambda: ops.Matrix(randn(4, 7)).H, REAL, False),
    "sum": (lambda: ops.Identity((6,)) + ops.Matrix(randn(6, 6)), REAL, False),
    "product": (lambda: ops.Downsample((1, 6, 6), 2) @ ops.Blur((1, 6, 6), randn(3, 3)), REAL, False),
    "stack": (lambda: ops.Stack(ops.Downsample((2, 4, 6), 2), ops.Mask(randn(4, 6), (2, 4, 6))), REAL, False),
    "stack, complex": (
        lambda: ops.Stack(
            ops.mri(lines(1, 4, 5)), ops.Stack(ops.Fourier((1, 4, 5)), ops.Coils(randn(2, 4, 5, dtype=COMPLEX)))
        ),
        COMPLEX,
        False,
    ),
    "whitening": (lambda: ops.Whitening(Weighted(0.3 + scattered(4, 3).double()), (2, 4, 3)), REAL, False),
    "whitening, colored": (lambda: ops.Whitening(Colored(COVARIANCE), (3, 4)), COMPLEX, False),
    "multiple": (lambda: -0.7 * ops.Blur((1, 5, 6), randn(3, 4)), REAL, True),
    "multiple, complex": (lambda: (0.3 - 1.1j) * ops.Fourier((1, 4, 5)), COMPLEX, True),
    "multiple, complex of a real image": (lambda: (0.3 - 1.1j) * ops.RealToComplex((1, 2, 3)), REAL, True),
    "multiple, zero": (lambda: 0 * ops.Identity((4,)), REAL, True),
}


def images_of(operator: ops.Operator) -> torch.dtype:
    """Real where the adjoint leads back to real images."""
    return operator.H(operator(randn(1, *operator.shape_in))).dtype


ELSEWHERE = exported(ops, ops.Nonlinear)  # see test_nonlinear.py
for own in with_example(ops, ops.Operator, ELSEWHERE | {type(factory()) for factory, *_ in CASES.values()}):
    solves = own._solve_shifted is not ops.Operator._solve_shifted
    CASES[own.__name__] = (own.example, images_of(own.example()), solves)
each = pytest.mark.parametrize("name", CASES)
closed = pytest.mark.parametrize("name", [name for name in CASES if CASES[name][2]])


def build(name: str) -> tuple[ops.Operator, torch.dtype]:
    if name == "non-uniform fourier":
        pytest.importorskip("finufft", reason="finufft, of the extra mri, does these sums")
    factory, dtype, _ = CASES[name]
    return factory(), dtype


def flat(x: Tensor) -> Tensor:
    """(B, ...) real or complex as real vectors (B, n)."""
    return (torch.view_as_real(x) if x.is_complex() else x).flatten(1)


def unflat(v: Tensor, like: Tensor) -> Tensor:
    shape = (len(v), *like.shape[1:])
    return torch.view_as_complex(v.reshape(*shape, 2).contiguous()) if like.is_complex() else v.reshape(shape)


def dense(apply, like: Tensor) -> Tensor:
    """The real matrix of a linear map whose arguments look like ``like``."""
    basis = torch.eye(flat(like[:1]).shape[1], dtype=REAL)
    return flat(apply(unflat(basis, like))).mT


def images(name: str, n: int = 3, seed: int = 10) -> Tensor:
    operator, dtype = build(name)
    return randn(n, *operator.shape_in, dtype=dtype, seed=seed)


class Uneven(Independent):
    """Noise whose variance differs between the data."""

    def __init__(self, values: Tensor):
        self.values = values

    @property
    def variance(self) -> Tensor:
        return self.values


def test_every_exported_operator_has_a_case():
    assert_examples(ops, ops.Operator, ELSEWHERE | {type(factory()) for factory, *_ in CASES.values()})


@each
def test_linear(name):
    operator, dtype = build(name)
    a, b = images(name), images(name, seed=11)
    factor = 0.7 - 1.3j if dtype.is_complex else -1.3
    torch.testing.assert_close(operator(factor * a + b), factor * operator(a) + operator(b), rtol=1e-12, atol=1e-12)


@each
def test_shapes_are_as_declared(name):
    operator, _ = build(name)
    x = images(name)
    y = operator(x)
    assert y.shape == (3, *operator.shape_out)
    assert operator.H(y).shape == x.shape
    assert operator.H(y).dtype == x.dtype
    assert operator.H.shape_in == operator.shape_out
    with pytest.raises(InputError, match="maps images of shape"):
        operator(x.unsqueeze(-1))


@each
def test_adjoint(name):
    operator, dtype = build(name)
    assert ops.adjoint_error(operator, generator=seeded(), dtype=dtype) < 1e-12
    x = images(name)
    y = operator(x)
    matrix = dense(operator, x)
    torch.testing.assert_close(dense(operator.H, y), matrix.mT, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(dense(operator.gram, x), matrix.mT @ matrix, rtol=1e-11, atol=1e-11)


@each
def test_draws_of_a_batch_are_independent(name):
    operator, _ = build(name)
    x = images(name)
    y = operator(x)
    for size in (1, 2):
        torch.testing.assert_close(torch.cat([operator(part) for part in x.split(size)]), y)
        torch.testing.assert_close(torch.cat([operator.H(part) for part in y.split(size)]), operator.H(y))


@each
def test_single_precision_stays_single(name):
    operator, _ = build(name)
    x = images(name)
    single = x.to(torch.complex64 if x.is_complex() else torch.float32)
    y = operator(single)
    assert y.real.dtype == torch.float32
    assert operator.H(y).dtype == single.dtype
    torch.testing.assert_close(y, operator(x).to(y.dtype), rtol=1e-4, atol=1e-4)
    assert operator.gram_solve(White(0.5), ops.Isotropic(2.0), y).dtype == y.dtype


@each
def test_autograd_is_the_adjoint(name):
    operator, _ = build(name)
    x = images(name).requires_grad_()
    y = operator(x)
    w = normal_like(y, seeded(12)).requires_grad_()
    (gradient,) = torch.autograd.grad((y.conj() * w).real.sum(), x, create_graph=False, retain_graph=True)
    torch.testing.assert_close(gradient, operator.H(w).detach())
    (gradient,) = torch.autograd.grad((operator.H(w).conj() * x.detach()).real.sum(), w)
    torch.testing.assert_close(gradient, y.detach())


@each
def test_device_moves_every_tensor(name):
    operator, dtype = build(name)
    operator.gram_solve(White(1.0), ops.Isotropic(1.0), operator(images(name)))  # fills the caches
    moved = operator.to("meta")
    x = torch.empty(2, *operator.shape_in, dtype=dtype, device="meta")
    if isinstance(moved, ops.Projector):  # torch has no sparse products on the meta device
        assert (moved.matrix.device.type, moved.transpose.device.type) == ("meta", "meta")
        return
    assert moved(x).device.type == "meta"
    assert ops.Isotropic(torch.ones(2))(x).device.type == "meta"  # a level made on the host
    assert moved.H(moved(x)).shape == x.shape


@each
@pytest.mark.parametrize("per_draw", [False, True])
@pytest.mark.parametrize("uneven", [False, True])
def test_gram_solve_isotropic(name, per_draw, uneven):
    operator, _ = build(name)
    x = images(name)
    y = operator(x)
    v = normal_like(y, seeded(13))
    noise = Uneven(0.2 + torch.rand(operator.shape_out, generator=seeded(3), dtype=REAL)) if uneven else White(0.6)
    variance = torch.tensor([0.5, 0.0, 2.0], dtype=REAL) if per_draw else torch.tensor(0.8, dtype=REAL)
    solution = operator.gram_solve(noise, ops.Isotropic(variance), v)
    spread = dense(operator, x)
    spread = spread @ spread.mT
    variances = noise.variance.expand(operator.shape_out)
    diagonal = torch.complex(variances, variances) if v.is_complex() else variances
    matrices = flat(diagonal[None])[0].diag() + variance.expand(3).reshape(3, 1, 1) * spread
    expected = torch.linalg.solve(matrices, flat(v))
    bound = 1e-10 if CASES[name][2] and not uneven else 2e-6 * torch.linalg.cond(matrices).max().item()
    assert (flat(solution) - expected).norm() <= bound * expected.norm()


@each
@pytest.mark.parametrize("uneven", [False, True])
def test_gram_solve_with_a_matrix_free_spread(name, uneven):
    operator, _ = build(name)
    x = images(name)
    v = normal_like(operator(x), seeded(13))
    variances = 0.5 + torch.rand(operator.shape_out, generator=seeded(3), dtype=REAL)
    noise = Uneven(variances) if uneven else White(0.8)
    size = flat(x).shape[1]
    root = randn(size, size, seed=14) / math.sqrt(size)
    spread = root @ root.mT + 0.1 * torch.eye(size, dtype=REAL)
    solution = operator.gram_solve(noise, lambda u: unflat(flat(u) @ spread, u), v)
    A = dense(operator, x)
    diagonal = noise.variance.expand(operator.shape_out)
    diagonal = torch.complex(diagonal, diagonal) if v.is_complex() else diagonal
    matrix = flat(diagonal[None])[0].diag() + A @ spread @ A.mT
    residual = flat(solution) @ matrix - flat(v)
    assert (residual.norm(dim=1) <= 2e-6 * flat(v).norm(dim=1)).all()
    expected = torch.linalg.solve(matrix, flat(v), left=False)
    assert (flat(solution) - expected).norm() <= 2e-6 * torch.linalg.cond(matrix) * expected.norm()


@closed
def test_closed_form_needs_no_iteration(name, monkeypatch):
    def forbidden(*_):
        raise AssertionError("conjugate gradients were used where a closed form is known")

    monkeypatch.setattr("scorefield.operators.sides.conjugate_gradients", forbidden)
    operator, _ = build(name)
    y = operator(images(name))
    assert operator.gram_solve(White(0.3), ops.Isotropic(1.0), y).shape == y.shape


@each
def test_operator_norm_is_the_largest_singular_value(name):
    operator, dtype = build(name)
    largest = torch.linalg.matrix_norm(dense(operator, images(name)), 2).item()
    found = ops.operator_norm(operator, iterations=400, generator=seeded(), dtype=dtype)
    assert found == pytest.approx(largest, rel=1e-3)
    assert found <= largest * (1 + 1e-9)


def test_composition_is_the_product_of_matrices():
    A, B = ops.Downsample((2, 4, 6), 2), ops.Blur((2, 4, 6), randn(3, 3))
    C = ops.Mask(randn(4, 6, seed=1), (2, 4, 6))
    x = randn(2, 2, 4, 6)
    y = A(x)
    a, b, c = (dense(part, x) for part in (A, B, C))
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(dense(A @ B @ C, x), a @ b @ c, **close)
    torch.testing.assert_close(dense(A @ (B + 2.5 * C), x), a @ (b + 2.5 * c), **close)
    torch.testing.assert_close(dense((A @ B).H, y), b.mT @ a.mT, **close)
    torch.testing.assert_close(dense((A @ B).H.H, x), a @ b, **close)
    torch.testing.assert_close(dense((B @ C.H).gram, x), c @ b.mT @ b @ c.mT, **close)


def test_complex_composition_is_the_product_of_matrices():
    F, S = ops.Fourier((3, 4, 5)), ops.Coils(randn(3, 4, 5, dtype=COMPLEX))
    M, E = ops.Sample(scattered(4, 5), (3, 4, 5)), ops.RealToComplex((1, 4, 5))
    x, z = randn(2, 1, 4, 5), randn(2, 1, 4, 5, dtype=COMPLEX)
    s, e = dense(S, z), dense(E, x)
    f, m = dense(F, S(z)), dense(M, S(z))
    turn = dense(lambda u: (1 - 2j) * u, z)
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(dense(M @ F @ S @ ((1 - 2j) * E), x), m @ f @ s @ turn @ e, **close)
    torch.testing.assert_close(dense((M @ F @ S @ E).H, M(S(z))), e.mT @ s.mT @ f.mT @ m.mT, **close)


@pytest.mark.parametrize(
    ("combine", "sentence"),
    [
        (lambda: ops.Identity((4,)) @ ops.Identity((5,)), "Cannot compose"),
        (lambda: ops.Identity((4,)) + ops.Identity((5,)), "Cannot add"),
    ],
)
def test_shapes_that_do_not_meet(combine, sentence):
    with pytest.raises(InputError, match=sentence):
        combine()
