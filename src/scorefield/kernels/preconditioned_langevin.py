r"""Langevin dynamics preconditioned by the curvature of the data: pULA, the sampler of BART.

At level :math:`\sigma` the target is the exact likelihood times the diffused prior,
:math:`p_\sigma(x)\, p(y \mid x)`, and the step of rate :math:`\gamma`

.. math:: x' = x + \gamma M \left[s(x, \sigma) + A^H R^{-1} (y - A x)\right] + \sqrt{2\gamma}\, M^{1/2} z,
    \qquad M = (A^H R^{-1} A + I/\sigma^2)^{-1}.

The noise is :math:`M (A^H R^{-1/2} n + z/\sigma)`, which has the covariance M, so one solve serves drift and noise.
It starts from the part that needs no solve, :math:`u = \gamma (D - x) + \sqrt{2\gamma}\,\sigma z`:

.. math:: x' = x + u + \sigma^2 A^H (R + \sigma^2 A A^H)^{-1} (\gamma (y - A x) + \sqrt{2\gamma}\, n' - A u),
    \qquad n' \sim N(0, R).

**Its law.** For a prior :math:`N(m, S)` the target of a level has the precision
:math:`\Lambda = (S + \sigma^2 I)^{-1} + A^H R^{-1} A`.  With exact solves the step leaves a normal law.  Its mean is
that of the target; its covariance C solves :math:`C = F C F^H + 2\gamma M`, :math:`F = I - \gamma M \Lambda`:

.. math:: C^{-1} = \Lambda - \tfrac{\gamma}{2} \Lambda M \Lambda,
    \qquad C = \Lambda^{-1} + \tfrac{\gamma}{2} M + O(\gamma^2).

The eigenvalues k of :math:`M \Lambda` lie in (0, 1], as :math:`(S + \sigma^2 I)^{-1} \le I/\sigma^2`.  So every rate
below 2 is stable, whatever the data.  Along an eigenvector the variance is too large by :math:`1/(1 - \gamma k/2)`,
and one step forgets the share :math:`\gamma k`.  Where data decide, k = 1: at the published rate 1/2 these variances
are 4/3 of the right ones at every level, the last one included.  Where only the prior decides, k is
:math:`\sigma^2/(S + \sigma^2)`: right in the limit of small levels, but slow, so the walk must have many levels.

**Against the default.**  Sliced Wasserstein distance over that of exact draws, on the Gaussian bench in 8 dimensions
(``calibration.benches.tb_g``), after 101 and 401 evaluations: 3.7 and 1.55 (levels .01 to 10, rate 1/2; 9.7 and 4.3
with rate .1, which forgets too slowly).  ``MMPS`` with the default's 24 levels and last step: 1.04 after 26 evaluations
and 90 vector-Jacobian products.  On the mixture of three modes (``tb_m``) pULA has 2.08, 1.90 and 1.53 after
26, 101 and 401 evaluations, ``MMPS`` 2.17 after 26 and 33 products; the default there is particles.

References:
    Blumenthal, Holliber, Tamir, Uecker, arXiv 2512.05791, and ``bart sample`` of BART 1.0.  There the levels are those
    of complex numbers, the root of 2 larger than those of a component, and data have E|n|^2 = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.linalg.covariance import Isotropic
from scorefield.measurement import Measurement
from scorefield.operators.sides import DataSide
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class PreconditionedLangevin(Kernel[None]):
    r"""A step of pULA at level ``sigma``: Langevin dynamics of :math:`p_\sigma(x)\, p(y \mid x)`, preconditioned by M.

    Walk it with the unconditional prior, one step at each level; published are 100 levels that fall geometrically by a
    factor of 1000, from 10 where images have size 1.  It stays at ``sigma``: ``target`` is not used.
    :mod:`scorefield.kernels.preconditioned_langevin` derives the law that it leaves.

    Args:
        measurement: the data.  The matrix of an operator that is not linear is its Jacobian at x; M then changes with
            x, which the step does not account for.
        rate: gamma, a pure number below 2.  Half the rate halves the excess of the variance and takes twice the steps.
        iterations: the most steps of conjugate gradients for the product by M; unfinished, M is another matrix in drift
            and noise.

    Raises:
        InputError: a rate outside (0, 2), or fewer than one iteration; at a step, noise that is not Gaussian.

    References:
        Blumenthal, Holliber, Tamir, Uecker, 2025, arXiv 2512.05791.
    """

    measurement: Measurement = field(repr=False)
    rate: float = 0.5
    iterations: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.rate < 2:
            raise InputError(f"PreconditionedLangevin is stable for a rate between 0 and 2, got {self.rate:g}.")
        if self.iterations < 1:
            raise InputError(f"PreconditionedLangevin needs at least 1 iteration, got {self.iterations}.")

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        x, noise, operator = state.x, self.measurement.gaussian, self.measurement.operator.at(state.x)
        scale = (2 * self.rate) ** 0.5
        move = self.rate * (prior.denoise(x, sigma) - x) + scale * sigma * normal_like(x, generator)
        residual = self.measurement.residual(x)
        pull = self.rate * residual + scale * noise.sample(residual, generator) - operator(move)
        side = operator.side(DataSide(operator, noise))
        goal, tolerance = side.start(noise.whiten(pull)), torch.finfo(x.dtype).eps
        solution = side.solve(Isotropic(sigma**2), goal, tolerance=tolerance, iterations=self.iterations)
        return state.at(x + move + sigma**2 * side.pull(solution))
