r"""Fitting a closed-form prior: a handful of parameters, an objective, and a deterministic optimizer.

A network has a million weights, and :func:`scorefield.train` trains it on noisy gradients.  A mixture has eight, often
with bounds (a standard deviation has a floor); it deserves a quasi-Newton method, which needs a
deterministic function.  So all random numbers of the objective are drawn once, before the first evaluation:

.. math:: \hat\theta = \arg\min_{l \le \theta \le u} \frac1B \sum_b \ell(p_\theta; x_b, \omega_b),
    \qquad \omega_b \text{ fixed}.

References:
    Byrd, Lu, Nocedal, Zhu, "A limited memory algorithm for bound constrained optimization", SIAM J. Sci. Comput. 1995.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.objectives import Objective
from scorefield.prior import Prior

ITERATIONS = 15_000  # of L-BFGS-B, scipy's own limit; its tolerances stop it long before


def fit(
    build: Callable[[Tensor], Prior],
    objective: Objective,
    x: Tensor,
    start: Tensor,
    *,
    bounds: Sequence[tuple[float, float]] | None = None,
    seed: int = 0,
) -> Tensor:
    """Parameters of the prior that is best for ``objective`` on the points ``x``, near ``start``.

    A local minimum: scores of mixtures have many.  The draws of the objective are one per point, the same at every
    evaluation; for M draws a point give ``x.repeat(M, 1)``.

    Args:
        build: the prior of a parameter vector, with a graph to it, such as ``lambda p: GaussianMixture(p[:3, None],
            p[3:6].square(), p[6:].softmax(0))``.
        objective: one of :mod:`scorefield.objectives`.
        x: points (B, d) or images (B, C, *spatial).
        start: parameters (k,) in a floating dtype, inside the bounds.
        bounds: a pair (low, high) for each parameter, infinite where there is none.
        seed: fixes the objective's draws.

    Returns:
        The parameters (k,), in the dtype and on the device of ``start``.

    Raises:
        InputError: a start that is no vector, or outside its bounds; an objective that is not finite somewhere on the
            way, or has no minimum within reach.
    """
    start, box = start.detach(), _box(start, bounds)
    drawn = objective.draw(x, torch.Generator(x.device).manual_seed(seed))

    def value_and_gradient(flat: Any) -> tuple[float, Any]:
        theta = torch.from_numpy(flat).to(start).requires_grad_()
        with torch.enable_grad():
            value = objective.terms(build(theta), *drawn).mean()
            (slope,) = torch.autograd.grad(value, theta)
        if not bool(value.isfinite() & slope.isfinite().all()):
            where = ", ".join(f"{v:.4g}" for v in flat)
            raise InputError(f"The objective or its slope is not finite at ({where}); set bounds.")
        return value.item(), slope.double().cpu().numpy()

    from scipy.optimize import minimize  # costs a second, so only when used

    first = start.double().cpu().numpy()
    options = {"maxiter": ITERATIONS, "maxfun": ITERATIONS}
    result = minimize(value_and_gradient, first, jac=True, method="L-BFGS-B", bounds=box, options=options)
    if result.status == 1:  # the limit; 2 is a line search that round-off ended, at the minimum
        raise InputError(f"No minimum within {ITERATIONS} evaluations; the objective has none nearby, so set bounds.")
    return torch.from_numpy(result.x).to(start)


def _box(start: Tensor, bounds: Sequence[tuple[float, float]] | None) -> list[tuple[float, float]]:
    """The bounds, one for each parameter, with the start inside."""
    if start.ndim != 1 or not start.is_floating_point():
        raise InputError(f"start must be a real vector (k,), got {start.dtype} of shape {tuple(start.shape)}.")
    box = [(-np.inf, np.inf)] * len(start) if bounds is None else [(float(a), float(b)) for a, b in bounds]
    if len(box) != len(start):
        raise InputError(f"There are {len(start)} parameters but {len(box)} bounds; give one pair for each.")
    for i, ((low, high), value) in enumerate(zip(box, start.tolist(), strict=True)):
        if not low <= value <= high:
            raise InputError(f"Parameter {i} starts at {value:g}, outside [{low:g}, {high:g}]; move it inside.")
    return box
