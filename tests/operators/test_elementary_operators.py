"""Sampling, masks, matrices and resolution against their definitions, and the sentences for bad input."""

# what is wrong on purpose, or known only when it runs
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportAbstractUsage=false
from __future__ import annotations

import math

import pytest
import torch

from scorefield import operators as ops
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Differences
from scorefield.randomness import normal_like


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rand(*shape, seed=0):
    return torch.rand(shape, generator=seeded(seed), dtype=torch.float64)


def test_sample_gathers_in_reading_order_and_fills_zeros():
    mask = torch.tensor([[0, 1, 0], [1, 0, 1]])
    x = torch.arange(12.0).reshape(1, 2, 2, 3)
    sample = ops.Sample(mask, (2, 2, 3))
    y = sample(x)
    assert y.tolist() == [[[1, 3, 5], [7, 9, 11]]]
    assert torch.equal(sample.H(y), mask * x)
    assert ops.Sample(mask, (1, 2, 3)).shape_out == ops.Sample(mask[None], (1, 2, 3)).shape_out == (1, 3)
    per_channel = torch.stack([mask, 1 - mask])
    assert ops.Sample(per_channel, (2, 2, 3))(x).tolist() == [[1, 3, 5, 6, 8, 10]]


def test_sampled_noise_lives_on_measured_entries_only():
    """The residual chi-square has exactly as many degrees of freedom as there are measured real numbers."""
    mask = ops.cartesian_mask((1, 20, 30), 3, generator=seeded())
    maps = ops.birdcage(4, (1, 20, 30))
    operator = ops.mri(mask, maps)
    measured = 4 * int(mask.sum())
    assert math.prod(operator.shape_out) == measured
    x = normal_like(torch.empty(1, 1, 20, 30, dtype=torch.complex128), seeded(1))
    noise = White(0.3)
    clean = operator(x)
    scan = Measurement(clean + noise.sample(clean, seeded(2)), operator, noise)
    statistic = noise.whiten(scan.residual(x)).abs().square().sum().item()
    degrees = 2 * measured
    assert abs(statistic - degrees) < 5 * math.sqrt(2 * degrees)
    expected = -0.5 * statistic - 0.5 * degrees * math.log(2 * math.pi * 0.3**2)
    assert scan.log_likelihood(x).item() == pytest.approx(expected, rel=1e-10)


def test_stored_kspace_with_zeros_becomes_data():
    mask, maps = ops.cartesian_mask((1, 6, 9), 2, generator=seeded()), ops.birdcage(3, (1, 6, 9))
    x = normal_like(torch.empty(1, 1, 6, 9, dtype=torch.complex128), seeded(1))
    stored = mask * ops.Fourier((3, 6, 9))(maps.to(x.dtype) * x)
    torch.testing.assert_close(ops.Sample(mask, maps.shape)(stored), ops.mri(mask, maps)(x))
    torch.testing.assert_close(ops.Sample(mask, maps.shape).H(ops.mri(mask, maps)(x)), stored)


def test_matrix_is_the_matrix():
    A, x = rand(3, 5), rand(2, 5, seed=1)
    torch.testing.assert_close(ops.Matrix(A)(x), torch.stack([A @ row for row in x]))


def test_blur_is_the_circular_sum():
    kernel, x = rand(3, 4), rand(1, 2, 5, 6, seed=1)
    expected = torch.zeros_like(x)
    for i in range(3):
        for j in range(4):
            expected += kernel[i, j] * x.roll((i - 1, j - 2), (-2, -1))
    torch.testing.assert_close(ops.Blur((2, 5, 6), kernel)(x), expected)
    as_complex = torch.complex(x, 2 * x)
    torch.testing.assert_close(ops.Blur((2, 5, 6), kernel)(as_complex), torch.complex(expected, 2 * expected))


def test_downsample_averages_blocks():
    x = rand(2, 3, 4, 6)
    torch.testing.assert_close(ops.Downsample((3, 4, 6), 2)(x), torch.nn.functional.avg_pool2d(x, 2))
    torch.testing.assert_close(ops.Downsample((3, 4, 6), (1, 3))(x), torch.nn.functional.avg_pool2d(x, (1, 3)))


@pytest.mark.parametrize("shape", [(1, 4), (1, 5), (1, 7, 5), (2, 3, 4, 5)])
def test_fourier_is_the_centered_sum(shape):
    x = normal_like(torch.empty(2, *shape, dtype=torch.complex128), seeded())
    expected = x
    for axis, n in enumerate(shape[1:], start=2):
        k = torch.arange(n, dtype=torch.float64) - n // 2
        kernel = torch.polar(torch.full((n, n), 1 / math.sqrt(n), dtype=torch.float64), -2 * math.pi * k.outer(k) / n)
        expected = torch.tensordot(expected, kernel, dims=([axis], [1])).movedim(-1, axis)
    fourier = ops.Fourier(shape)
    torch.testing.assert_close(fourier(x), expected)
    torch.testing.assert_close(fourier.H(fourier(x)), x)
    torch.testing.assert_close(fourier(fourier.H(x)), x)


def test_adjoint_error_sees_a_wrong_adjoint():
    class Wrong(ops.Blur):
        def _adjoint(self, y):
            return self._apply(y)

    assert ops.adjoint_error(Wrong((1, 8, 8), rand(3, 3)), generator=seeded()) > 1e-4
    with pytest.raises(InputError, match="RealToComplex"):
        ops.adjoint_error(ops.Fourier((1, 8, 8)), generator=seeded(), dtype=torch.float64)
    assert ops.adjoint_error(ops.Fourier((1, 8, 8)), generator=seeded()) < 1e-14  # on complex images, by itself


def test_operator_norm_of_known_operators():
    assert ops.operator_norm(ops.Matrix(torch.diag(torch.tensor([1.0, -3.0, 2.0])))) == pytest.approx(3)
    assert ops.operator_norm(ops.Downsample((1, 8, 8), 2)) == pytest.approx(0.5)
    assert ops.operator_norm(ops.Mask(torch.zeros(8, 8), (1, 8, 8))) == 0


NAN = torch.tensor([[float("nan"), 1.0]])
BAD = {
    "empty shape": (lambda: ops.Identity(()), "axes"),
    "zero size": (lambda: ops.Identity((1, 0, 4)), "positive integers"),
    "fractional size": (lambda: ops.RealToComplex((1, 2.5)), "positive integers"),
    "vector as matrix": (lambda: ops.Matrix(torch.ones(3)), r"\(m, d\)"),
    "integer matrix": (lambda: ops.Matrix(torch.ones(3, 3, dtype=torch.int)), "dtype"),
    "matrix with NaN": (lambda: ops.Matrix(NAN), "NaN"),
    "mask of another size": (lambda: ops.Mask(torch.ones(3, 4), (1, 4, 4)), "broadcast"),
    "mask with more axes": (lambda: ops.Mask(torch.ones(1, 4, 4), (4, 4)), "broadcast"),
    "complex mask": (lambda: ops.Mask(torch.ones(4, dtype=torch.complex64), (4,)), "real weights"),
    "mask with NaN": (lambda: ops.Mask(NAN, (1, 1, 2)), "NaN"),
    "weights as sampling": (lambda: ops.Sample(torch.full((4,), 0.5), (4,)), "0 and 1"),
    "NaN as sampling": (lambda: ops.Sample(NAN, (1, 1, 2)), "0 and 1"),
    "nothing sampled": (lambda: ops.Sample(torch.zeros(4), (4,)), "no entry"),
    "sampling of another size": (lambda: ops.Sample(torch.ones(5), (4,)), "broadcast"),
    "complex through RealToComplex": (
        lambda: ops.RealToComplex((2,))(torch.ones(1, 2, dtype=torch.complex64)),
        "real images",
    ),
    "Fourier without space": (lambda: ops.Fourier((4,)), "axes"),
    "kernel of another dimension": (lambda: ops.Blur((1, 4, 4), torch.ones(3)), "axes"),
    "kernel too large": (lambda: ops.Blur((1, 4, 4), torch.ones(3, 5)), "longer"),
    "complex kernel": (lambda: ops.Blur((1, 4), torch.ones(3, dtype=torch.complex64)), "real part"),
    "kernel with NaN": (lambda: ops.Blur((1, 4, 4), NAN), "NaN"),
    "factor zero": (lambda: ops.Downsample((1, 4, 4), 0), "positive integer"),
    "fractional factor": (lambda: ops.Downsample((1, 4, 4), 1.5), "positive integer"),
    "factors for other axes": (lambda: ops.Downsample((1, 4, 4), (2, 2, 2)), "each axis"),
    "factor that does not divide": (lambda: ops.Downsample((1, 4, 5), 2), "does not divide"),
    "no power step": (lambda: ops.operator_norm(ops.Identity((3,)), iterations=0), "at least one step"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_answered_with_a_sentence(name):
    make, words = BAD[name]
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert str(caught.value).endswith(".")


def test_differences_are_those_of_the_next_pixel_with_a_flat_border():
    x = torch.tensor([[1.0, 4.0], [3.0, 9.0]]).reshape(1, 1, 2, 2)
    down, right = Differences((1, 2, 2))(x)[0, :, 0]
    assert down.tolist() == [[2.0, 5.0], [0.0, 0.0]]
    assert right.tolist() == [[3.0, 0.0], [6.0, 0.0]]
