r"""Moment-matching posterior sampling.

The second-order Tweedie formula gives the spread without approximation, :math:`V = \mathrm{Cov}[x_0 \mid x] = \sigma^2
J`, so

.. math:: E[x_0\mid x,y] \approx D + V A^H (R + A V A^H)^{-1}(y - A D),

with products by V as vector-Jacobian products.  Exact for every Gaussian prior and linear measurement.

A learned Jacobian is neither symmetric nor positive, and conjugate gradients on it can diverge without bound.  There
are two safeguards.  GMRES has a residual that never grows.  And the whitened matrix of a true covariance,
:math:`I + R^{-1/2} A V A^H R^{-1/2}`, never shrinks a vector, so a solution longer than its right-hand side is scaled
back to that length.

**Few products.**  From the first direction b, the residual itself, GMRES learns :math:`V A^H b` and with it the rings
of V's spectrum (:class:`scorefield.linalg.covariance.Stationary`).  Each further direction is preconditioned with the
inverse of :math:`I + R^{-1/2} A C A^H R^{-1/2}`, where C is that stationary model of V, by a few conjugate gradients,
which need the operator only.  The combination of the directions that gives the solution u also gives :math:`V A^H u`
from the products already made: k iterations cost k vector-Jacobian products, not k + 1.

**The side.**  The formulas above solve on the data.  For an operator with more samples than pixels the same innovation
is solved on the image (:mod:`scorefield.operators.sides`), also with one vector-Jacobian product an iteration.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.covariance import Stationary
from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import flexible_gmres, inner
from scorefield.measurement import Measurement
from scorefield.operators.sides import DataSide, Side
from scorefield.posteriors.base import Guided
from scorefield.prior import Prior, Vjp
from scorefield.randomness import normal_like

# tolerance and iterations of the preconditioner: more would cost operator calls and save no product by V
COARSE, FEW = 0.03, 8
# of a draw at the end of a walk: misfit over the noise at which its solver stops, products by V before a restart
FIT, PRODUCTS, RESTARTS = 0.05, 8, 4


class MMPS(Guided):
    """Moment-matching posterior: V = sigma^2 J, gain V.

    Args:
        iterations: largest dimension of the solver's space, one vector-Jacobian product each (the paper uses 1 to 5).
        tolerance: relative residual at which the solver stops early.

    References:
        Rozet, Andry, Lanusse, Louppe, "Learning diffusion priors from observations by expectation maximization",
        NeurIPS 2024, arXiv 2405.13712.
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, iterations: int = 4, tolerance: float = 1e-3):
        super().__init__(prior, measurement)
        if iterations < 1 or not tolerance >= 0:
            raise InputError(f"MMPS needs iterations >= 1 and tolerance >= 0, got {iterations} and {tolerance:g}.")
        self.iterations, self.tolerance = iterations, tolerance

    def solve(self, variance: Tensor, vjp: Vjp, r: Tensor) -> tuple[Tensor, Tensor]:
        """``u = (R + A V A^H)^-1 r`` on data, and ``J^T A^H u`` on images.

        Args:
            variance: sigma^2, broadcastable to the image.
            vjp: ``v -> J^T v`` of the prior's denoiser.
            r: data (B, *shape_out).
        """
        noise, operator = self.measurement.gaussian, self.measurement.operator
        side, r = operator.side(DataSide(operator, noise)), noise.whiten(r)
        u, pulled = _System(side, variance, vjp).solve(side.start(r), self.tolerance, self.iterations)
        solution, stretch = side.bound(u, variance * pulled, r)
        return noise.whiten(solution), pulled / per_image(stretch, pulled)

    def draw_clean(self, x: Tensor, sigma: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
        r"""A draw of x0 | x, y: a draw of x0 | x and data with new noise, conditioned as a mean is.

        .. math:: u + V A^H (R + A V A^H)^{-1} (y - n' - A u), \qquad u \sim N(D, V), \quad n' \sim N(0, R).

        The solver is restarted until what it leaves of the data's misfit is a twentieth of the noise, or until a
        restart removes less than half of it.  A learned V that is not positive makes some directions insoluble.

        References:
            Papandreou & Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010.
        """
        start = self.prior.draw_clean(x, sigma, generator)
        mean, vjp = self.prior.linearize(x, sigma)
        given, variance = self.measurement.at(mean), per_image(sigma, x).square()
        noise, operator, residual = given.gaussian, given.operator, given.residual(start)
        side, white = operator.side(DataSide(operator, noise)), normal_like(residual, generator)
        goal, rest = FIT * norm(side.start(white)), side.start(noise.whiten(residual) - white)
        live, tiny = torch.ones(len(rest), dtype=torch.bool, device=rest.device), torch.finfo(goal.dtype).tiny
        for _ in range(RESTARTS):
            before = norm(rest)
            u, pulled = _System(side, variance, vjp).solve(rest, goal / before.clamp(min=tiny), PRODUCTS)
            step = variance * pulled * per_image(live, pulled)
            start, rest = start + step, rest - u - side.push(step)
            live = live & (norm(rest) > goal) & (norm(rest) < before / 2)
            if not bool(live.any()):
                break
        return start

    def _pull(self, variance: Tensor, vjp: Vjp, residual: Tensor) -> Callable[[Tensor], Tensor]:
        del residual
        return lambda r: self.solve(variance, vjp, r)[1]


class _System:
    """``I + push V pull`` of a side, and the model of V that its products give.

    Attributes:
        pulls: ``J^T pull(u)`` for each u so far.
    """

    def __init__(self, side: Side, variance: Tensor, vjp: Vjp):
        self.side, self.variance, self.vjp = side, variance, vjp
        self.pulls: list[Tensor] = []
        self.model: Stationary | None = None

    def __call__(self, u: Tensor) -> Tensor:
        image = self.side.pull(u)
        self.pulls.append(self.vjp(image))
        spread = self.variance * self.pulls[-1]
        self.model = self.model or Stationary(image, spread)
        return u + self.side.push(spread)

    def solve(self, goal: Tensor, tolerance: Tensor | float, iterations: int) -> tuple[Tensor, Tensor]:
        """The solution u of the system with right-hand side ``goal``, and ``J^T pull(u)``.

        Args:
            goal: in the space of the side.
            tolerance: relative residual, (B,) or one for all, at which the solver stops.
            iterations: the most products by V.
        """
        u, combination = flexible_gmres(self, goal, self.precondition, tolerance=tolerance, iterations=iterations)
        return u, combination(self.pulls)

    def precondition(self, b: Tensor) -> Tensor:
        """The inverse with a stationary model in place of V, once there is one."""
        return b if self.model is None else self.side.solve(self.model, b, tolerance=COARSE, iterations=FEW)


def norm(v: Tensor) -> Tensor:
    """Length of each vector (B, ...): (B,)."""
    return inner(v, v).sqrt()
