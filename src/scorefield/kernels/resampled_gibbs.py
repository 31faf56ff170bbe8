r"""Split Gibbs sampling of a population, which is resampled as the level falls.

At level :math:`\rho` split Gibbs leaves :math:`\pi_\rho(x_0) \propto p(x_0)\, N(y; A x_0, R + \rho^2 A A^H)` invariant.
As the level falls, each image stays in the mode where it was when the modes separated.  So the modes have the
probabilities of that level, not of the last.  But the ratio of two such laws does not contain the prior:

.. math:: \frac{\pi_t(x_0)}{\pi_s(x_0)} \propto \exp\Big(\tfrac12 r^H (R + s^2 A A^H)^{-1} r
    - \tfrac12 r^H (R + t^2 A A^H)^{-1} r\Big), \qquad r = y - A x_0.

Resampling a population by these weights before each new level is a sequential Monte Carlo sampler whose moves are split
Gibbs sweeps: exact in the limit of a large population, for any modes, at the cost of two more linear solves per sweep.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from scorefield.kernel import Kernel, State
from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.descent import Descent
from scorefield.kernels.likelihood import LikelihoodStep, PerturbAndMap
from scorefield.kernels.resampling import systematic
from scorefield.linalg.covariance import Isotropic
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.schedules import Karras


@dataclass(frozen=True)
class ResampledGibbs(Kernel[Tensor | None]):
    """Split Gibbs sweeps between which a batch is resampled to the law of the next level.

    Walk it with the unconditional prior.  The batch is the population: draws that are walked together depend on each
    other, and a larger batch is better.  The noise must be Gaussian.  With m data of variance R a step's log weights
    vary by about ``sqrt(m / 2) (s^2 - t^2) / (R + s^2)``, which should not exceed 1 by much: it is a method for few
    data, or for many levels that end well below the noise.  Start well above the distance of the modes.

    Args:
        measurement: the data.
        descent: draws x0 given z, as in :class:`~scorefield.kernels.SplitGibbs`.
        likelihood: draws z given x0.

    References:
        Del Moral, Doucet, Jasra, "Sequential Monte Carlo samplers", JRSS B 2006, for the weights; Vono, Dobigeon,
        Chainais, IEEE TSP 2019, arXiv 1804.05809, for the moves.
    """

    group: ClassVar[bool] = True

    measurement: Measurement = field(repr=False)
    descent: Descent = field(default=Descent(Ancestral(), Karras(0.002, 80.0), 100))
    likelihood: LikelihoodStep = field(default=PerturbAndMap())

    def step(
        self, prior: Prior, state: State[Tensor | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Tensor | None]:
        x = self.descent(prior, state.x, sigma, generator)
        residual = self.measurement.residual(x)
        # without memory the images are draws from the prior, whose law has no data in it
        before = 0.0 if state.memory is None else self._log_evidence(residual, state.memory)
        x = x[systematic(self._log_evidence(residual, target) - before, len(x), generator)]
        if bool(target > 0):
            x = self.likelihood.at(target / prior.extent).draw(self.measurement, x, target, generator)
        return State(x, target)

    def _log_evidence(self, residual: Tensor, rho: Tensor) -> Tensor:
        """``log N(y; A x0, R + rho^2 A A^H)`` of each image up to a constant: (B,)."""
        operator, noise = self.measurement.operator, self.measurement.gaussian
        return -inner(residual, operator.gram_solve(noise, Isotropic(rho**2), residual)).double() / 2
