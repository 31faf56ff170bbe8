"""Measurements: likelihood, its gradient, and the innovation against dense linear algebra."""

from __future__ import annotations

import pytest
import torch

from scorefield.errors import InputError
from scorefield.linalg.covariance import Isotropic
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity, Matrix, RealToComplex
from support import complex_normal, normal

A = normal(3, 5, seed=1)
C = complex_normal(3, 5, seed=2)
NOISE = White(0.4)
GIVEN = {
    "real": (Measurement(normal(3), Matrix(A), NOISE), normal(2, 5, seed=4)),
    "complex": (Measurement(complex_normal(3), Matrix(C), NOISE), complex_normal(2, 5, seed=4)),
    "real image, complex data": (
        Measurement(complex_normal(3), Matrix(C) @ RealToComplex((5,)), NOISE),
        normal(2, 5, seed=4),
    ),
}
every = pytest.mark.parametrize(("given", "x"), GIVEN.values(), ids=GIVEN)


@every
def test_residual(given, x):
    torch.testing.assert_close(given.residual(x), torch.stack([given.y[0] - given.operator(u[None])[0] for u in x]))
    assert given.shape == (5,)


@every
def test_the_gain_is_near_the_largest_singular_value_and_scales_with_the_operator(given, x):
    columns = given.operator(torch.eye(5, dtype=x.dtype))
    real = columns.is_complex() and not x.is_complex()
    values = torch.linalg.svdvals(torch.view_as_real(columns).flatten(1) if real else columns)
    gain = given.gain.item()
    assert values.square().mean().sqrt() < gain <= values[0]  # two products by A make the larger ones count more
    times = Measurement(given.y, given.operator * 4.0, given.noise)
    assert times.gain.item() == 4 * gain


def test_the_gain_of_an_isometry_is_one_and_that_of_nothing_too():
    for operator, y in ((Identity((5,)), normal(5)), (Identity((5,)), torch.zeros(5)), (Matrix(0 * A), normal(3))):
        assert Measurement(y, operator, NOISE).gain.item() == 1


@every
def test_score_is_the_gradient_of_the_log_likelihood(given, x):
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(given.log_likelihood(x).sum(), x)
    torch.testing.assert_close(given.score(x.detach()), gradient)


@pytest.mark.parametrize("spread", [0.0, 0.7, torch.tensor([0.2, 1.5], dtype=torch.float64)])
def test_isotropic_innovation_is_the_dense_formula(spread):
    given, mean = GIVEN["complex"]
    found = given.innovation(mean, Isotropic(spread))
    for i, u in enumerate(mean):
        v = float(torch.as_tensor(spread).expand(2)[i])
        covariance = 0.16 * torch.eye(3) + v * C @ C.mH
        expected = C.mH @ torch.linalg.solve(covariance, given.y[0] - C @ u)
        torch.testing.assert_close(found[i], expected)


def test_innovation_of_a_dense_spread_is_the_score_of_the_data():
    """N(y; A m, R + A V A^T), differentiated with respect to m."""
    given, mean = GIVEN["real"]
    root = normal(5, 5, seed=6)
    spread = root @ root.T
    found = given.innovation(mean, lambda v: v @ spread)
    mean = mean.clone().requires_grad_()
    law = torch.distributions.MultivariateNormal(mean @ A.T, 0.16 * torch.eye(3) + A @ spread @ A.T)
    (gradient,) = torch.autograd.grad(law.log_prob(given.y).sum(), mean)
    torch.testing.assert_close(found, gradient, rtol=1e-5, atol=1e-5)  # conjugate gradients to 1e-6


def test_a_batch_of_one_is_the_same_scan():
    y = normal(3)
    assert torch.equal(Measurement(y, Matrix(A), NOISE).y, Measurement(y[None], Matrix(A), NOISE).y)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (torch.zeros(4), "have shape"),
        (torch.zeros(2, 3), "one scan"),
        (torch.zeros(1, 1, 3), "have shape"),
        (torch.tensor(1.0), "have shape"),
        (torch.zeros(3, dtype=torch.int32), "dtype"),
        (torch.tensor([1.0, torch.nan, torch.inf]), "2 values"),
        (torch.tensor([1.0, torch.nan, 0], dtype=torch.complex64), "1 values"),
    ],
)
def test_bad_data_are_refused(y, match):
    with pytest.raises(InputError, match=match):
        Measurement(y, Matrix(A), NOISE)


def test_moving_copies_and_leaves_the_original():
    given = Measurement(normal(3), Matrix(A), NOISE)
    moved = given.to("meta")
    assert moved.y.device.type == moved.operator.A.device.type == "meta"  # pyright: ignore
    assert given.y.device.type == given.operator.A.device.type == "cpu"  # pyright: ignore
    assert moved.y.dtype == torch.float64


def test_identity_keeps_numbers():
    given = Measurement(normal(1, 4, 4), Identity((1, 4, 4)), NOISE)
    x = normal(2, 1, 4, 4, seed=5)
    torch.testing.assert_close(given.score(x), (given.y - x) / 0.16)
