r"""Total-variation reconstruction, isotropic, for any linear operator, real and complex images.

.. math:: \min_x \; F(x) = f(x) + w \, \|D x\|_{2,1}, \qquad f(x) = \tfrac12 \|W (A x - y)\|^2,

with D the forward differences along the spatial axes (zero at the far border) and :math:`\|.\|_{2,1}` the sum over
pixels of the length of the gradient.  The length of a complex gradient includes real and imaginary parts, so a constant
phase changes nothing.  Channels are summed.

The method is ADMM with over-relaxation for :math:`z = D x`.  Each step solves
:math:`(A^H W^2 A + \rho D^T D) x = A^H W^2 y + \rho D^T (z - u)` by a few conjugate gradients from the last x.  The
multiplier :math:`p = \rho u` satisfies :math:`|p| \le w` at every pixel by construction.  So with
:math:`s = A^H W^2 (A x - y) + D^T p` convexity bounds the error of x by computable numbers,

.. math:: F(x) - F(x^*) \le w \|D x\|_{2,1} - \langle p, D x \rangle + \langle s, x - x^* \rangle,

and the iteration stops when this bound, with :math:`\|s\| \|x\|` for the last term, is a small part of F(x).

References:
    Rudin, Osher & Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 1992.
    Boyd et al., "Distributed optimization and statistical learning via ADMM", 2011 (over-relaxation, balancing).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scorefield.baselines.fidelity import Fidelity
from scorefield.errors import InputError
from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import conjugate_gradients, inner
from scorefield.measurement import Measurement
from scorefield.operators.differences import Differences

RELAXATION = 1.6  # Boyd et al. 2011, section 3.4.3: 1.5 to 1.8
BALANCE_EVERY = 10
BALANCE = 5.0  # the bound on <s, x - x*> is loose by about this much (measured on CT and denoising)


def total_variation(
    measurement: Measurement, weight: float, *, iterations: int = 1000, tolerance: float = 1e-3
) -> Tensor:
    r"""The minimizer of :math:`\tfrac12 \|W (A x - y)\|^2 + w \|D x\|_{2,1}`; W = 1 for white noise.

    Args:
        measurement: the scan, of images (C, *spatial) with at least one spatial axis.
        weight: w > 0, in the unit of the data squared over the unit of the image; for denoising about the standard
            deviation of the noise.
        iterations: largest number of outer steps; there is a warning if they do not suffice.
        tolerance: the iteration stops at this bound on (F(x) - min F) / F(x).

    Returns:
        One image, shaped like ``measurement.shape``.

    Raises:
        InputError: a weight that is not positive and finite, or images without a spatial axis.
    """
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"The TV weight must be a positive finite number, got {weight}.")
    fidelity = Fidelity(measurement)
    weights = torch.tensor([weight], dtype=fidelity.rhs.real.dtype, device=fidelity.rhs.device)
    state = solve(fidelity, weights, iterations=iterations, tolerance=tolerance)
    warn_unless_converged(fidelity, weights, state, tolerance)
    return state.x[0]


@dataclass(frozen=True)
class Iterate:
    """The variables of ADMM for B weights at once.

    Attributes:
        x: images (B, C, *spatial).
        z: their gradients (B, axes, C, *spatial).
        u: scaled multipliers, shaped like z.
        rho: penalties (B,).
    """

    x: Tensor
    z: Tensor
    u: Tensor
    rho: Tensor


def solve(
    fidelity: Fidelity,
    weights: Tensor,
    *,
    start: Iterate | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-3,
) -> Iterate:
    """Run ADMM for each of ``weights`` (B,) until every gap is below ``tolerance``.

    Args:
        fidelity: the data term.
        weights: positive, (B,).
        start: the first iterate, such as the solution of a neighboring weight.
        iterations: largest number of outer steps.
        tolerance: relative gap.
    """
    state = first_state(fidelity, weights) if start is None else start
    gaps = gap(fidelity, weights, state)
    for step in range(iterations):
        if bool((gaps.sum(0) <= tolerance).all()):
            return state
        state, gaps = _advance_open(fidelity, weights, state, gaps, tolerance)
        if step % BALANCE_EVERY == BALANCE_EVERY - 1 and step < iterations // 2:  # then constant: ADMM converges
            state = balance(state, gaps)
    return state


def warn_unless_converged(fidelity: Fidelity, weights: Tensor, state: Iterate, tolerance: float) -> None:
    """Warn (RuntimeWarning) if a gap of ``state`` is above ``tolerance``."""
    worst = float(gap(fidelity, weights, state).sum(0).max())
    if worst > tolerance:
        warnings.warn(
            f"Total variation stopped at a relative gap of {worst:.1e}, above {tolerance:.0e}; allow more iterations.",
            RuntimeWarning,
            stacklevel=3,
        )


def first_state(fidelity: Fidelity, weights: Tensor) -> Iterate:
    """The first iterate: the scaled adjoint image, its gradient, no multiplier, and a penalty that fits its edges.

    Raises:
        InputError: images without a spatial axis.
    """
    if fidelity.rhs.ndim < 3:
        raise InputError(
            f"Total variation needs images (C, *spatial), got shape {tuple(fidelity.rhs.shape[1:])};"
            " add a channel axis."
        )
    b = fidelity.rhs
    curvature = inner(b, fidelity.gram(b))
    scale = torch.where(curvature > 0, inner(b, b) / torch.where(curvature > 0, curvature, 1), 0)  # steepest descent
    x = (per_image(scale, b) * b).expand(len(weights), *b.shape[1:]).clone()
    z = Differences(tuple(x.shape[1:]))(x)
    # rho = weight / (typical |Dx|) makes the shrinkage comparable with the edges, in any units
    edges = (inner(z, z) / x[0].numel()).sqrt()  # root mean square
    stiffness = torch.where(scale > 0, 1 / torch.where(scale > 0, scale, 1), 1)
    rho = torch.where(edges > 0, weights / torch.where(edges > 0, edges, 1), stiffness)
    return Iterate(x, z, torch.zeros_like(z), rho)


def _advance_open(
    fidelity: Fidelity, weights: Tensor, state: Iterate, gaps: Tensor, tolerance: float
) -> tuple[Iterate, Tensor]:
    """One step for the weights whose gap is above the tolerance, and their new gaps; the others do not change."""
    live = (gaps.sum(0) > tolerance).nonzero().squeeze(1)
    part = advance(fidelity, weights[live], Iterate(state.x[live], state.z[live], state.u[live], state.rho[live]))
    pairs = ((state.x, part.x), (state.z, part.z), (state.u, part.u), (state.rho, part.rho))
    return (
        Iterate(*(whole.index_copy(0, live, new) for whole, new in pairs)),
        gaps.index_copy(1, live, gap(fidelity, weights[live], part)),
    )


def advance(fidelity: Fidelity, weights: Tensor, state: Iterate) -> Iterate:
    """One over-relaxed step of ADMM."""
    rho, d = per_image(state.rho, state.x), Differences(tuple(state.x.shape[1:]))

    def normal(x: Tensor) -> Tensor:
        return fidelity.gram(x) + rho * d.gram(x)

    defect = fidelity.rhs + rho * d.H(state.z - state.u) - normal(state.x)
    x = state.x + conjugate_gradients(normal, defect, tolerance=0.1, iterations=12)
    relaxed = RELAXATION * d(x) + (1 - RELAXATION) * state.z
    u = state.u + relaxed
    z = shrink(u, weights / state.rho)
    return Iterate(x, z, u - z, state.rho)


def balance(state: Iterate, gaps: Tensor) -> Iterate:
    """Change the penalty so that the two parts of the gap (2, B) come closer; p = rho u does not change."""
    tiny = 1e-14  # both parts vanish at the solution
    ratio = (BALANCE * gaps[0].clamp_min(tiny) / gaps[1].clamp_min(tiny)).sqrt().clamp(0.5, 2)
    return replace(state, rho=state.rho * ratio, u=state.u / per_image(ratio, state.u))


def gap(fidelity: Fidelity, weights: Tensor, state: Iterate) -> Tensor:
    """The two parts of the bound on (F(x) - min F) / F(x), minus the part that is rounding: (2, B).

    The first is the complementarity ``w |Dx| - <p, Dx>``, the second the stationarity ``|s| |x|``.
    """
    x, d = state.x, Differences(tuple(state.x.shape[1:]))
    dx = d(x)
    p = per_image(state.rho, state.u) * state.u
    s = fidelity.gram(x) - fidelity.rhs + d.H(p)
    variation = weights * length(dx).flatten(1).sum(1)
    value = fidelity.value(x) + variation
    rounding = 4 * torch.finfo(x.real.dtype).eps * (_norm(fidelity.rhs) * _norm(x) + value)
    parts = torch.stack([variation - inner(p, dx), _norm(s) * _norm(x) - rounding])
    return parts / value.clamp_min(torch.finfo(value.dtype).tiny)


def length(z: Tensor) -> Tensor:
    """Length of the gradient at each pixel, over real and imaginary parts: (B, 1, C, *spatial)."""
    return torch.linalg.vector_norm(z, dim=1, keepdim=True)


def shrink(z: Tensor, threshold: Tensor) -> Tensor:
    """Shorten gradients by ``threshold`` (B,), and to zero where they are shorter: the prox of ``|.|_{2,1}``."""
    size, t = length(z), per_image(threshold, z)
    return z * ((size - t).clamp_min(0) / torch.where(size > 0, size, 1))


def _norm(x: Tensor) -> Tensor:
    return inner(x, x).sqrt()
