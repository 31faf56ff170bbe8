"""Conjugate gradients and GMRES: exactness, monotone residuals, where one fails and the other holds."""

from __future__ import annotations

import pytest
import torch

from scorefield.linalg import solve
from scorefield.linalg.solve import conjugate_gradients, flexible_gmres, gmres
from scorefield.randomness import normal_like


def randn(*shape, dtype=torch.float64, seed=0):
    return normal_like(torch.empty(shape, dtype=dtype), torch.Generator().manual_seed(seed))


def relative(matrices, u, v):
    residual = torch.einsum("...ij,...j->...i", matrices, u) - v
    return residual.norm(dim=1) / v.norm(dim=1)


def batched(matrices):
    return lambda u: torch.einsum("...ij,...j->...i", matrices, u)


def textbook_cg(matrix, v, iterations):
    """Hestenes and Stiefel without any safeguard."""
    u, r, p = torch.zeros_like(v), v.clone(), v.clone()
    for _ in range(iterations):
        q = matrix(p)
        alpha = (r * r).sum(1, keepdim=True) / (p * q).sum(1, keepdim=True)
        u, new = u + alpha * p, r - alpha * q
        p = new + (new * new).sum(1, keepdim=True) / (r * r).sum(1, keepdim=True) * p
        r = new
    return u


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_conjugate_gradients_end_after_as_many_steps_as_dimensions(dtype):
    root = randn(3, 8, 8, dtype=dtype)
    matrices = root @ root.mH + torch.eye(8, dtype=dtype)
    v = randn(3, 8, dtype=dtype, seed=1)
    found = conjugate_gradients(batched(matrices), v, tolerance=1e-13, iterations=24)
    torch.testing.assert_close(found, torch.linalg.solve(matrices, v), rtol=1e-9, atol=1e-9)


def test_conjugate_gradients_stop_each_draw_on_its_own():
    """A draw that is done (or zero) keeps its solution while the others go on."""
    matrices = torch.stack([torch.eye(6), torch.diag(torch.logspace(0, 3, 6)), torch.eye(6)]).double()
    v = torch.stack([randn(6), randn(6, seed=1), torch.zeros(6, dtype=torch.float64)])
    calls = []

    def matrix(u):
        calls.append(u)
        return batched(matrices)(u)

    found = conjugate_gradients(matrix, v, tolerance=1e-10)
    torch.testing.assert_close(found[0], v[0])
    assert (relative(matrices[:2], found[:2], v[:2]) <= 1e-9).all()
    assert (found[2] == 0).all()
    assert 2 <= len(calls) <= 10


def test_conjugate_gradients_refuse_negative_curvature():
    matrix = torch.diag(torch.tensor([1.0, 2.0, -1.5], dtype=torch.float64))
    v = torch.tensor([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64)
    found = conjugate_gradients(batched(matrix), v)
    assert (found[0] == 0).all()
    torch.testing.assert_close(found[1], torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gmres_is_monotone_where_conjugate_gradients_diverge(dtype):
    n, size = 12, 12 if dtype == torch.float64 else 24  # real dimension of the space
    matrices = randn(4, n, n, dtype=dtype, seed=3)  # neither symmetric nor definite
    v = randn(4, n, dtype=dtype, seed=4)
    previous = torch.ones(4, dtype=torch.float64)
    for k in range(1, size + 1):
        residual = relative(matrices, gmres(batched(matrices), v, tolerance=0.0, iterations=k), v)
        assert (residual <= previous * (1 + 1e-10) + 1e-10).all()
        previous = residual
    assert (previous <= 1e-8).all()
    if dtype == torch.float64:
        worst = torch.stack([relative(matrices, textbook_cg(batched(matrices), v, k), v) for k in range(1, 13)])
        assert worst.max() > 100


def test_gmres_holds_where_the_library_conjugate_gradients_diverge():
    """Positive curvature everywhere is no protection: identity plus a large skew part."""
    skew = randn(1, 10, 10, seed=5)
    matrices = torch.eye(10, dtype=torch.float64) + 5 * (skew - skew.mT)
    v = randn(1, 10, seed=6)
    assert relative(matrices, conjugate_gradients(batched(matrices), v, iterations=10), v) > 100
    residuals = [relative(matrices, gmres(batched(matrices), v, iterations=k), v).item() for k in range(1, 11)]
    assert max(residuals) <= 1 + 1e-12
    assert residuals[-1] <= 1e-8


def test_gmres_minimizes_over_the_krylov_space():
    matrix, v = randn(1, 9, 9, seed=7), randn(1, 9, seed=8)
    krylov = torch.stack([torch.linalg.matrix_power(matrix[0], k) @ v[0] for k in range(4)], 1)
    best = krylov @ torch.linalg.lstsq(matrix[0] @ krylov, v[0].unsqueeze(1)).solution
    torch.testing.assert_close(gmres(batched(matrix), v, iterations=4), best.mT, rtol=1e-8, atol=1e-8)


def test_gmres_draws_may_converge_early():
    """A draw whose Krylov space is exhausted (identity), a zero one, and a hard one share a batch."""
    matrices = torch.stack([2 * torch.eye(8, dtype=torch.float64), torch.eye(8, dtype=torch.float64), randn(8, 8)])
    v = torch.stack([randn(8, seed=1), torch.zeros(8, dtype=torch.float64), randn(8, seed=2)])
    found = gmres(batched(matrices), v, tolerance=1e-10, iterations=8)
    torch.testing.assert_close(found[0], v[0] / 2)
    assert (found[1] == 0).all()
    assert relative(matrices[2:], found[2:], v[2:]) < 1e-8


def test_gmres_stops_at_its_tolerance():
    matrices = torch.diag(torch.linspace(1, 2, 30, dtype=torch.float64)).unsqueeze(0)
    v = randn(1, 30)
    calls = []

    def matrix(u):
        calls.append(u)
        return batched(matrices)(u)

    found = gmres(matrix, v, tolerance=1e-3, iterations=30)
    assert relative(matrices, found, v) <= 1e-3 * (1 + 1e-9)
    assert len(calls) < 10


def test_flexible_gmres_combines_what_its_matrix_saw():
    """With another preconditioner each time, the solution is that combination of the arguments, and the best one."""
    matrix, v = randn(3, 8, 8, seed=5), randn(3, 8, seed=6)
    scales = iter(randn(4, 8, seed=7).abs() + 0.1)
    seen = []

    def product(u):
        seen.append(u)
        return batched(matrix)(u)

    u, combination = flexible_gmres(product, v, lambda b: next(scales) * b, tolerance=0, iterations=4)
    torch.testing.assert_close(u, combination(seen))
    space = torch.stack(seen, -1)
    best = torch.linalg.lstsq(matrix @ space, v.unsqueeze(-1)).solution
    torch.testing.assert_close(u, (space @ best).squeeze(-1), rtol=1e-8, atol=1e-8)


def test_looking_seldom_whether_all_is_solved_changes_no_bit(monkeypatch):
    """As on an accelerator: a batch takes a few steps too many, and draws that are done stay as they are."""
    matrices = torch.stack([torch.eye(6), torch.diag(torch.logspace(0, 1, 6)), torch.eye(6)]).double()
    v, calls = torch.stack([randn(6), randn(6, seed=1), torch.zeros(6, dtype=torch.float64)]), []

    def matrix(u):
        calls.append(u)
        return batched(matrices)(u)

    expected = conjugate_gradients(matrix, v, tolerance=1e-3)
    fewest = len(calls)
    calls.clear()
    monkeypatch.setattr(solve, "period", lambda device: 8)
    assert torch.equal(conjugate_gradients(matrix, v, tolerance=1e-3), expected)
    assert fewest < len(calls) == 8


def test_one_matrix_that_diverges_does_not_spoil_the_others():
    matrices = torch.stack([2 * torch.eye(3), torch.full((3, 3), torch.inf)]).double()
    found = gmres(batched(matrices), randn(2, 3), tolerance=1e-9, iterations=3)
    torch.testing.assert_close(found[0], randn(2, 3)[0] / 2)
    assert found[1].isnan().all()
