r"""Moment-matching posterior sampling.

The second-order Tweedie formula gives the spread without approximation, :math:`V = \mathrm{Cov}[x_0 \mid x] = \sigma^2
J`, so

.. math:: E[x_0\mid x,y] \approx D + V A^H (R + A V A^H)^{-1}(y - A D),

with products by V as vector-Jacobian products.  Exact for every Gaussian prior and linear measurement.

A learned Jacobian is neither symmetric nor positive, on which conjugate gradients can diverge without bound.  Two
safeguards keep the update sane: GMRES, whose residual never grows; and, as the whitened matrix of a true covariance,
:math:`I + R^{-1/2} A V A^H R^{-1/2}`, never shrinks a vector,
a solution longer than its right-hand side is cut back to that length.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.operators.solve import gmres, inner
from scorefield.posteriors.base import Guided, Posterior
from scorefield.prior import Prior, Vjp


class MMPS(Guided):
    """Moment-matching posterior: V = sigma^2 J, gain V.

    Args:
        iterations: largest Krylov dimension, one vector-Jacobian product each (the paper uses 1 to 5).
        tolerance: relative residual at which the solver stops early.

    References:
        Rozet, Andry, Lanusse, Louppe, "Learning diffusion priors from observations by expectation maximization",
        NeurIPS 2024, arXiv 2405.13712.
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, iterations: int = 5, tolerance: float = 1e-3):
        super().__init__(prior, measurement)
        if iterations < 1 or not tolerance >= 0:
            raise InputError(f"MMPS needs iterations >= 1 and tolerance >= 0, got {iterations} and {tolerance:g}.")
        self.iterations, self.tolerance = iterations, tolerance

    def given(self, prior: Prior) -> Posterior:
        return MMPS(prior, self.measurement, iterations=self.iterations, tolerance=self.tolerance)

    def _solver(self, variance: Tensor, vjp: Vjp, residual: Tensor) -> Callable[[Tensor], Tensor]:
        operator, noise = self.measurement.operator, self.measurement.noise
        scale = noise.variance.to(residual.real.dtype).to(residual.device).sqrt()

        def whitened(u: Tensor) -> Tensor:
            """``R^-1/2 (R + A V A^H) R^-1/2``: the noise is the preconditioner, its eigenvalues are at least 1."""
            return u + operator(variance * vjp(operator.H(u / scale))) / scale

        def solve(r: Tensor) -> Tensor:
            r = r / scale
            u = gmres(whitened, r, tolerance=self.tolerance, iterations=self.iterations)
            tiny = torch.finfo(r.real.dtype).tiny
            stretch = (inner(u, u) / inner(r, r).clamp(min=tiny)).sqrt().clamp(min=1)
            return u / stretch.to(r.real.dtype).reshape(-1, *[1] * (u.ndim - 1)) / scale

        return solve
