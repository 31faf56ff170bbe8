r"""Solvers for ``(R + A V A^H) u = v``, one system per draw, in the real inner product.

Conjugate gradients suit a covariance V that is symmetric and positive.  The Jacobian of a *learned* denoiser is
neither: the short recurrence then loses its orthogonality and plain conjugate gradients can diverge.  GMRES
minimizes the residual over the same Krylov space with no such assumption, so its residual never grows.

References:
    Hestenes & Stiefel 1952; Saad & Schultz, "GMRES", SIAM J. Sci. Stat. Comput. 1986.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


def inner(a: Tensor, b: Tensor) -> Tensor:
    """``Re <a, b>`` of each pair in a batch: (B, ...) and (B, ...) to (B,)."""
    return (a.conj() * b).real.flatten(1).sum(1)


def _over(coefficient: Tensor, like: Tensor) -> Tensor:
    return coefficient.reshape(-1, *[1] * (like.ndim - 1))


def conjugate_gradients(matrix: Map, v: Tensor, *, tolerance: float = 1e-6, iterations: int = 100) -> Tensor:
    """Solve ``matrix(u) = v`` for a symmetric positive map, each draw on its own.

    A draw stops when its relative residual is below ``tolerance``, or when it meets a direction of non-positive
    curvature (the map is then not positive, and a longer step would only amplify the defect).

    Args:
        matrix: maps (B, *shape) to (B, *shape).
        v: right-hand sides (B, *shape), real or complex.
    """
    u, r = torch.zeros_like(v), v.clone()
    p, rr = r, inner(r, r)
    goal = tolerance**2 * rr
    live = rr > goal
    for _ in range(iterations):
        if not bool(live.any()):
            break
        q = matrix(p)
        curvature = inner(p, q)
        live = live & (curvature > 0)
        alpha = torch.where(live, rr / torch.where(live, curvature, 1), 0)
        u, r = u + _over(alpha, v) * p, r - _over(alpha, v) * q
        rr, previous = torch.where(live, inner(r, r), rr), rr
        p = r + _over(torch.where(live, rr / torch.where(live, previous, 1), 0), v) * p
        live = live & (rr > goal)
    return u


def gmres(matrix: Map, v: Tensor, *, tolerance: float = 1e-6, iterations: int = 10) -> Tensor:
    """Minimize ``|matrix(u) - v|`` over a Krylov space, each draw on its own; any linear map will do.

    Arnoldi with modified Gram-Schmidt, no restart: memory grows by one vector an iteration.

    Args:
        matrix: maps (B, *shape) to (B, *shape).
        v: right-hand sides (B, *shape), real or complex.
        tolerance: relative residual at which all draws stop.
        iterations: largest dimension of the Krylov space.
    """
    size = inner(v, v).sqrt()
    basis = [v / _over(torch.where(size > 0, size, 1), v)]
    hessenberg = torch.zeros(len(v), iterations + 1, iterations, dtype=torch.float64, device=v.device)
    weights = torch.zeros(len(v), 0, dtype=torch.float64, device=v.device)
    for k in range(iterations):
        w = matrix(basis[k])
        for i, b in enumerate(basis):
            hessenberg[:, i, k] = h = inner(b, w)
            w = w - _over(h.to(v.real.dtype), v) * b
        hessenberg[:, k + 1, k] = norm = inner(w, w).sqrt()
        weights, residual = _least_squares(hessenberg[:, : k + 2, : k + 1])
        if bool((residual <= tolerance).all()):
            break
        basis.append(w / _over(torch.where(norm > 0, norm, 1), w))
    u = torch.zeros_like(v)
    for k, b in enumerate(basis[: weights.shape[1]]):
        u = u + _over((size * weights[:, k]).to(v.real.dtype), v) * b
    return u


def _least_squares(hessenberg: Tensor) -> tuple[Tensor, Tensor]:
    """Minimizer of ``|H w - e1|`` and its residual, by the pseudo-inverse (a draw may have converged early)."""
    e1 = torch.zeros(hessenberg.shape[:2], dtype=hessenberg.dtype, device=hessenberg.device)
    e1[:, 0] = 1
    w = (torch.linalg.pinv(hessenberg, rtol=1e-12) @ e1.unsqueeze(-1)).squeeze(-1)
    residual = (hessenberg @ w.unsqueeze(-1)).squeeze(-1) - e1
    return w, residual.norm(dim=1)
