r"""Solvers for ``(R + A V A^H) u = v``, one system per draw, in the real inner product.

Conjugate gradients suit a covariance V that is symmetric and positive.  The Jacobian of a *learned* denoiser is
neither: the short recurrence then loses its orthogonality and plain conjugate gradients can diverge.  GMRES
minimizes the residual over the same Krylov space without this assumption, so its residual never grows.  Flexible GMRES
also allows any approximate inverse as a preconditioner, even one that changes from step to step.

References:
    Hestenes & Stiefel 1952; Saad & Schultz, "GMRES", SIAM J. Sci. Stat. Comput. 1986.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.linalg.parts import in_precision, per_image, power_of_two

Map = Callable[[Tensor], Tensor]
InnerProduct = Callable[[Tensor, Tensor], Tensor]


def inner(a: Tensor, b: Tensor) -> Tensor:
    """``Re <a, b>`` of each pair in a batch: (B, ...) and (B, ...) to (B,)."""
    return (a.conj() * b).real.flatten(1).sum(1)


def period(device: torch.device) -> int:
    """Steps between two checks whether all draws are solved; each check has to wait for an accelerator."""
    return 1 if device.type == "cpu" else 8


def conjugate_gradients(
    matrix: Map, v: Tensor, *, product: InnerProduct = inner, tolerance: float = 1e-6, iterations: int = 100
) -> Tensor:
    """Solve ``matrix(u) = v`` for a symmetric positive map, each draw on its own.

    A draw stops when its relative residual is below ``tolerance``, or when it meets a direction of non-positive
    curvature (the map is then not positive, and a longer step would only amplify the defect).  Steps after that leave
    it as it is, so a batch on an accelerator may take a few more than it needs.  The system is solved in units of v, so
    that squares stay within the range of the numbers.

    Args:
        matrix: maps (B, *shape) to (B, *shape).
        v: right-hand sides (B, *shape), real or complex.
        product: the inner product in which the map is symmetric.
        tolerance: relative residual at which a draw stops.
        iterations: the most products by the map.
    """
    exact = in_precision(v.detach(), torch.float64)
    unit = per_image(power_of_two(product(exact, exact).abs().sqrt()), v)
    u, r = torch.zeros_like(v), v / unit
    p, rr = r, product(r, r)
    goal = tolerance**2 * rr
    live = rr > goal
    every = period(v.device)
    for step in range(iterations):
        if (step or every == 1) and step % every == 0 and not bool(live.any()):
            break
        q = matrix(p)
        curvature = product(p, q)
        live = live & (curvature > 0)
        alpha = torch.where(live, rr / torch.where(live, curvature, 1), 0)
        u, r = u + per_image(alpha, v) * p, r - per_image(alpha, v) * q
        rr, previous = torch.where(live, product(r, r), rr), rr
        p = r + per_image(torch.where(live, rr / torch.where(live, previous, 1), 0), v) * p
        live = live & (rr > goal)
    return unit * u


@torch.no_grad()
def warn_unless_solved(missing: Tensor, goal: Tensor, accepted: float, what: str) -> None:
    """Warn where a solution leaves more than a share ``accepted`` of its right-hand side.

    Args:
        missing: residual (B, *shape).
        goal: right-hand side (B, *shape).
        what: name of what was solved, for the message.
    """
    miss, size = inner(missing, missing).sqrt(), inner(goal, goal).sqrt()
    if bool((miss > accepted * size).any()):
        worst = float((miss / size).max())
        warnings.warn(f"{what} was solved to a relative residual of {worst:.1e} only.", RuntimeWarning, stacklevel=4)


class Combination(NamedTuple):
    """Coefficients (B, K) of K vectors, each draw with its own."""

    weights: Tensor

    def __call__(self, vectors: Sequence[Tensor]) -> Tensor:
        """``sum_k weights[:, k] vectors[k]`` of the first K vectors (B, *shape)."""
        terms = zip(self.weights.unbind(1), vectors, strict=False)
        return sum((per_image(w, u) * u for w, u in terms), torch.zeros_like(vectors[0]))


def gmres(matrix: Map, v: Tensor, *, tolerance: float = 1e-6, iterations: int = 10) -> Tensor:
    """Minimize ``|matrix(u) - v|`` over a Krylov space, each draw on its own; any linear map will do.

    Args:
        matrix: maps (B, *shape) to (B, *shape).
        v: right-hand sides (B, *shape), real or complex.
        tolerance: relative residual at which a draw stops.
        iterations: largest dimension of the Krylov space.
    """
    return flexible_gmres(matrix, v, lambda u: u, tolerance=tolerance, iterations=iterations)[0]


def flexible_gmres(
    matrix: Map, v: Tensor, precondition: Map, *, tolerance: Tensor | float = 1e-6, iterations: int = 10
) -> tuple[Tensor, Combination]:
    """GMRES on ``matrix(precondition(w)) = v``, whose preconditioner may change from one iteration to the next.

    Arnoldi with modified Gram-Schmidt, no restart: memory grows by two vectors an iteration.

    Args:
        matrix: maps (B, *shape) to (B, *shape).
        v: right-hand sides (B, *shape), real or complex.
        precondition: an approximate inverse of ``matrix``, called once before each product by it.
        tolerance: relative residual at which a draw stops, (B,) or one for all.
        iterations: largest dimension of the space.

    Returns:
        The solution, and the combination that gives it from the arguments of ``matrix``, in the order of the calls.
        The same combination applies to any linear function of these arguments.

    References:
        Saad, "A flexible inner-outer preconditioned GMRES algorithm", SIAM J. Sci. Comput. 1993.
    """
    size = inner(v, v).sqrt()
    basis, directions = [v / per_image(torch.where(size > 0, size, 1), v)], []
    hessenberg = torch.zeros(len(v), iterations + 1, iterations, dtype=torch.float64, device=v.device)
    weights = torch.zeros(len(v), 0, dtype=torch.float64, device=v.device)
    live = torch.ones(len(v), dtype=torch.bool, device=v.device)  # a draw that is solved stays as it is
    for k in range(iterations):
        directions.append(precondition(basis[k]))
        w = matrix(directions[k])
        for i, b in enumerate(basis):
            hessenberg[:, i, k] = h = inner(b, w)
            w = w - per_image(h, v) * b
        hessenberg[:, k + 1, k] = norm = inner(w, w).sqrt()
        latest, residual = _least_squares(hessenberg[:, : k + 2, : k + 1])
        weights = torch.where(live[:, None], latest, torch.cat([weights, torch.zeros_like(latest[:, :1])], 1))
        live = live & ~(residual <= tolerance)
        if not bool(live.any()):
            break
        basis.append(w / per_image(torch.where(norm > 0, norm, 1), w))
    combination = Combination(size[:, None] * weights)
    return combination(directions), combination


def _least_squares(hessenberg: Tensor) -> tuple[Tensor, Tensor]:
    """Minimizer of ``|H w - e1|`` and its residual, by the pseudo-inverse (a draw may have converged early)."""
    e1 = torch.zeros(hessenberg.shape[:2], dtype=hessenberg.dtype, device=hessenberg.device)
    e1[:, 0] = 1
    finite = hessenberg.isfinite().all(2).all(1)[:, None]  # a matrix may diverge; the sampling will say so
    hessenberg = torch.where(finite[:, :, None], hessenberg, 0)
    w = (torch.linalg.pinv(hessenberg, rtol=1e-12) @ e1.unsqueeze(-1)).squeeze(-1)
    residual = (hessenberg @ w.unsqueeze(-1)).squeeze(-1) - e1
    return torch.where(finite, w, torch.nan), torch.where(finite[:, 0], residual.norm(dim=1), torch.nan)
