"""Traces of Jacobians from products: exact ones against autograd, random ones within their standard error."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.densities.trace import ExactTrace, Hutchinson, Rademacher, Sphere, StandardNormal, jacobian_diagonal
from scorefield.linalg.parts import as_rows
from support import complex_normal, normal

LAWS = [Rademacher(), StandardNormal(), Sphere()]


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(matrix: Tensor):
    """The product ``v -> J^T v`` of a linear map of the real components, for real or complex v."""

    def vjp(v: Tensor) -> Tensor:
        rows = as_rows(v) @ matrix
        return torch.view_as_complex(rows.reshape(*v.shape, 2)) if v.is_complex() else rows.reshape(v.shape)

    return vjp


@pytest.mark.parametrize("x", [normal(3, 2, 2), complex_normal(3, 2)], ids=["real", "complex"])
def test_the_exact_trace_counts_every_real_component(x):
    matrix = normal(4, 4, seed=1)
    torch.testing.assert_close(jacobian_diagonal(linear(matrix), x), matrix.diagonal().expand(3, 4))
    torch.testing.assert_close(ExactTrace().of(linear(matrix), x), matrix.trace().expand(3))
    assert ExactTrace().draw(x, g()) == ()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_the_mean_over_probes_is_unbiased_and_its_variance_falls_with_their_number(law, dtype):
    n, d, probes = 20_000, 6, 4
    matrix = normal(d, d, seed=2)
    matrix = (matrix + matrix.T) / 2
    x = torch.zeros(n, d // 2 if dtype.is_complex else d, dtype=dtype)
    frobenius, trace = matrix.square().sum().item(), matrix.trace().item()
    variance = {
        "Rademacher": 2 * frobenius - 2 * matrix.diagonal().square().sum().item(),
        "StandardNormal": 2 * frobenius,
        "Sphere": 2 * d / (d + 2) * (frobenius - trace**2 / d),
    }[type(law).__name__]
    estimator = Hutchinson(law, probes)
    estimate = estimator.of(linear(matrix), x, *estimator.draw(x, g(3)))
    assert estimate.shape == (n,)
    assert abs(estimate.mean().item() - trace) < 4.5 * math.sqrt(variance / probes / n)
    # the fourth moment of a mean of four such forms is below 3 + 12 / 4 times the squared variance
    assert estimate.var().item() == pytest.approx(variance / probes, rel=4.5 * math.sqrt(5 / n))


def test_probes_are_drawn_once_and_serve_any_number_of_evaluations():
    x = normal(5, 3)
    estimator = Hutchinson(probes=2)
    probes = estimator.draw(x, g())
    assert [p.shape for p in probes] == [x.shape] * 2
    assert not torch.equal(*probes)
    first, second = (estimator.of(linear(normal(3, 3, seed=4)), x, *probes) for _ in range(2))
    assert torch.equal(first, second)


def test_a_gradient_passes_through_both_traces():
    """The trace of d(a x)/dx is n a, whose slope in a is n."""
    a = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    x = normal(2, 3)
    for trace in (ExactTrace(), Hutchinson(probes=3)):
        value = trace.of(lambda v: a * v, x, *trace.draw(x, g()))
        assert torch.autograd.grad(value.sum(), a)[0].item() == pytest.approx(6)
