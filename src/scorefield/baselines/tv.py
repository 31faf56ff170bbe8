r"""Total-variation reconstruction, isotropic, for any linear operator, real and complex images.

.. math:: \min_x \; F(x) = f(x) + w \, \|D x\|_{2,1}, \qquad f(x) = \tfrac12 \|W (A x - y)\|^2,

with D the forward differences along the spatial axes (zero at the far border) and :math:`\|.\|_{2,1}` the sum
over pixels of the length of the gradient; a complex gradient's length joins real and imaginary parts, so a
constant phase changes nothing.  Channels are summed.

Split :math:`z = D x` (ADMM with over-relaxation; each step solves
:math:`(A^H W^2 A + \rho D^T D) x = A^H W^2 y + \rho D^T (z - u)` by a few warm conjugate gradients).  The
multiplier :math:`p = \rho u` obeys :math:`|p| \le w` at every pixel by construction, so with
:math:`s = A^H W^2 (A x - y) + D^T p` convexity bounds the error of x by computable numbers,

.. math:: F(x) - F(x^*) \le w \|D x\|_{2,1} - \langle p, D x \rangle + \langle s, x - x^* \rangle,

and the iteration stops when that, with :math:`\|s\| \|x\|` for the last term, is a small part of F(x).

References:
    Rudin, Osher & Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 1992.
    Boyd et al., "Distributed optimization and statistical learning via ADMM", 2011 (over-relaxation,
    balancing).
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

RELAXATION = 1.6  # Boyd et al. 2011, section 3.4.3: 1.5 to 1.8
BALANCE_EVERY = 10
BALANCE = 5.0  # the bound on <s, x - x*> is loose by about this much (measured on CT and denoising)


def total_variation(
    measurement: Measurement, weight: float, *, iterations: int = 1000, tolerance: float = 1e-3
) -> Tensor:
    r"""The minimizer of :math:`\tfrac12 \|W (A x - y)\|^2 + w \|D x\|_{2,1}`; W = 1 for white noise.

    Args:
        measurement: the scan, of images (C, *spatial) with at least one spatial axis.
        weight: w > 0, in the data's unit squared over the image's unit; for denoising, about the noise's std.
        iterations: most outer steps; a warning tells when they do not suffice.
        tolerance: bound on (F(x) - min F) / F(x) at which it stops.

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
class State:
    """ADMM for B weights at once: images x, split gradients z, scaled multipliers u, penalties rho (B,)."""

    x: Tensor
    z: Tensor
    u: Tensor
    rho: Tensor


def solve(
    fidelity: Fidelity,
    weights: Tensor,
    *,
    start: State | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-3,
) -> State:
    """Run ADMM for each of ``weights`` (B,) until every gap is below ``tolerance``.

    Args:
        fidelity: the data term.
        weights: positive, (B,).
        start: a warm start with B images, as of a neighboring weight.
        iterations: most outer steps.
        tolerance: relative gap.
    """
    state = first_state(fidelity, weights) if start is None else start
    gaps = gap(fidelity, weights, state)
    for step in range(iterations):
        if bool((gaps.sum(0) <= tolerance).all()):
            return state
        state, gaps = _advance_open(fidelity, weights, state, gaps, tolerance)
        if step % BALANCE_EVERY == BALANCE_EVERY - 1 and step < iterations // 2:  # fixed later: ADMM then converges
            state = balance(state, gaps)
    return state


def warn_unless_converged(fidelity: Fidelity, weights: Tensor, state: State, tolerance: float) -> None:
    """A RuntimeWarning if a gap of ``state`` is above ``tolerance``."""
    worst = float(gap(fidelity, weights, state).sum(0).max())
    if worst > tolerance:
        warnings.warn(
            f"Total variation stopped at a relative gap of {worst:.1e}, above {tolerance:.0e}; allow more iterations.",
            RuntimeWarning,
            stacklevel=3,
        )


def first_state(fidelity: Fidelity, weights: Tensor) -> State:
    """The scaled adjoint image for each weight, its gradient, no multiplier, a penalty fit to its edges."""
    if fidelity.rhs.ndim < 3:
        raise InputError(
            f"Total variation needs images (C, *spatial), got shape {tuple(fidelity.rhs.shape[1:])};"
            " add a channel axis."
        )
    b = fidelity.rhs
    seen = inner(b, fidelity.gram(b))
    scale = torch.where(seen > 0, inner(b, b) / torch.where(seen > 0, seen, 1), 0)  # steepest descent's first step
    x = (per_image(scale, b) * b).expand(len(weights), *b.shape[1:]).clone()
    z = gradient(x)
    # rho = weight / (typical |Dx|) makes the shrinkage comparable with the edges, in any units
    edges = (inner(z, z) / x[0].numel()).sqrt()  # root mean square
    stiffness = torch.where(scale > 0, 1 / torch.where(scale > 0, scale, 1), 1)
    rho = torch.where(edges > 0, weights / torch.where(edges > 0, edges, 1), stiffness)
    return State(x, z, torch.zeros_like(z), rho)


def _advance_open(
    fidelity: Fidelity, weights: Tensor, state: State, gaps: Tensor, tolerance: float
) -> tuple[State, Tensor]:
    """One step for the weights whose gap is still open, and their new gaps; the others rest."""
    live = (gaps.sum(0) > tolerance).nonzero().squeeze(1)
    part = advance(fidelity, weights[live], State(state.x[live], state.z[live], state.u[live], state.rho[live]))
    pairs = ((state.x, part.x), (state.z, part.z), (state.u, part.u), (state.rho, part.rho))
    return (
        State(*(whole.index_copy(0, live, new) for whole, new in pairs)),
        gaps.index_copy(1, live, gap(fidelity, weights[live], part)),
    )


def advance(fidelity: Fidelity, weights: Tensor, state: State) -> State:
    """One over-relaxed step of ADMM."""
    rho = per_image(state.rho, state.x)

    def normal(x: Tensor) -> Tensor:
        return fidelity.gram(x) + rho * divergence(gradient(x))

    defect = fidelity.rhs + rho * divergence(state.z - state.u) - normal(state.x)
    x = state.x + conjugate_gradients(normal, defect, tolerance=0.1, iterations=12)
    relaxed = RELAXATION * gradient(x) + (1 - RELAXATION) * state.z
    u = state.u + relaxed
    z = shrink(u, weights / state.rho)
    return State(x, z, u - z, state.rho)


def balance(state: State, gaps: Tensor) -> State:
    """The state with its penalty moved so that the parts of the gap (2, B) come closer; p = rho u stays."""
    tiny = 1e-14  # both parts vanish at the solution
    ratio = (BALANCE * gaps[0].clamp_min(tiny) / gaps[1].clamp_min(tiny)).sqrt().clamp(0.5, 2)
    return replace(state, rho=state.rho * ratio, u=state.u / per_image(ratio, state.u))


def gap(fidelity: Fidelity, weights: Tensor, state: State) -> Tensor:
    """The two parts, (2, B), of the bound on (F(x) - min F) / F(x), less what rounding alone puts there.

    First the complementarity ``w |Dx| - <p, Dx>``, then the stationarity ``|s| |x|``.
    """
    x, dx = state.x, gradient(state.x)
    p = per_image(state.rho, state.u) * state.u
    s = fidelity.gram(x) - fidelity.rhs + divergence(p)
    variation = weights * length(dx).flatten(1).sum(1)
    value = fidelity.value(x) + variation
    rounding = 4 * torch.finfo(x.real.dtype).eps * (_norm(fidelity.rhs) * _norm(x) + value)
    parts = torch.stack([variation - inner(p, dx), _norm(s) * _norm(x) - rounding])
    return parts / value.clamp_min(torch.finfo(value.dtype).tiny)


def gradient(x: Tensor) -> Tensor:
    """Forward differences of images (B, C, *spatial), zero at the far border: (B, axes, C, *spatial)."""
    parts = []
    for axis in range(2, x.ndim):
        last = x.narrow(axis, x.shape[axis] - 1, 1)
        parts.append(torch.diff(x, dim=axis, append=last))
    return torch.stack(parts, dim=1)


def divergence(z: Tensor) -> Tensor:
    """The adjoint ``D^T z`` of :func:`gradient` (minus the divergence)."""
    out = torch.zeros_like(z[:, 0])
    for i in range(z.shape[1]):
        axis, part = i + 2, z[:, i]
        size = part.shape[axis] - 1
        inside = part.narrow(axis, 0, size)
        out.narrow(axis, 0, size).sub_(inside)
        out.narrow(axis, 1, size).add_(inside)
    return out


def length(z: Tensor) -> Tensor:
    """Length of the gradient at each pixel, real and imaginary parts joined: (B, 1, C, *spatial)."""
    return torch.linalg.vector_norm(z, dim=1, keepdim=True)


def shrink(z: Tensor, threshold: Tensor) -> Tensor:
    """Gradients shortened by ``threshold`` (B,), to zero where shorter than it: the prox of ``|.|_{2,1}``."""
    size, t = length(z), per_image(threshold, z)
    return z * ((size - t).clamp_min(0) / torch.where(size > 0, size, 1))


def _norm(x: Tensor) -> Tensor:
    return inner(x, x).sqrt()
