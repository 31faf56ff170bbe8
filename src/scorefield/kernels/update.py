r"""Updates of nuisance parameters at a noise level.

With the evidence :math:`y \mid \theta \sim N(F_\theta(\bar x), S)`, the sensitivity
:math:`B = \partial F_\theta(\bar x)/\partial\theta` and the prior's score and precision :math:`s, \Lambda`,

.. math::
    g = B^H S^{-1} (y - F_\theta(\bar x)) + s(\theta), \qquad P = B^H S^{-1} B + \Lambda

are the gradient of the log-density of theta and the Gauss-Newton curvature of its negative.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernels.evidence import Belief, Evidence, Marginal
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.nuisance import Nuisance
from scorefield.portable import Portable
from scorefield.posteriors.base import Posterior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class Update(Portable, ABC):
    """A move of theta at a noise level.

    Args:
        nuisance: the parameters.
        evidence: describes the clean image.
    """

    nuisance: Nuisance
    evidence: Evidence = field(default=Marginal(), kw_only=True)

    def __call__(
        self, posterior: Posterior, theta: Tensor, x: Tensor, sigma: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The next theta (B, k), given the last one and images x (B, C, *spatial) at level sigma (0-d)."""
        belief = self.evidence(posterior, x, sigma, generator)
        return self.move(posterior.measurement, belief, theta, generator)

    @abstractmethod
    def move(self, measurement: Measurement, belief: Belief, theta: Tensor, generator: torch.Generator) -> Tensor:
        """The next theta, given the belief about the image."""

    def _newton(self, measurement: Measurement, belief: Belief, theta: Tensor) -> tuple[Tensor, Tensor]:
        """A Gauss-Newton step from theta, and the Cholesky factor of the curvature there, in double precision."""
        near = self.nuisance.sensitivity(belief.image, theta)
        columns = [near(unit.expand_as(theta)) for unit in torch.eye(theta.shape[1]).to(theta)]
        solved = [belief.solve(column) for column in columns]
        residual = measurement.y - near.data
        curvature = torch.stack([torch.stack([inner(a, b) for b in solved], -1) for a in columns], -1).double()
        gradient = torch.stack([inner(residual, b) for b in solved], -1).double()
        curvature = (curvature + curvature.mT) / 2 + self.nuisance.precision(theta).double()
        root, failed = torch.linalg.cholesky_ex(curvature)
        if bool(failed.any()):
            raise InputError(
                f"The curvature of '{self.nuisance.name}' is not positive: its prior is not log-concave there, or the"
                " solves have not converged; take kernels.GradientStep, or more iterations."
            )
        pull = gradient + self.nuisance.score(theta).double()
        return theta + torch.cholesky_solve(pull.unsqueeze(-1), root).squeeze(-1).to(theta), root


@dataclass(frozen=True)
class GradientStep(Update):
    """``theta + rate g``: a step towards the most likely theta.

    Args:
        rate: in squared units of theta; stable below 2 over the largest curvature.
    """

    rate: float = field(default=0.1, kw_only=True)

    def move(self, measurement: Measurement, belief: Belief, theta: Tensor, generator: torch.Generator) -> Tensor:
        near = self.nuisance.sensitivity(belief.image, theta)
        pull = near.H(belief.solve(measurement.y - near.data))
        return theta + self.rate * (pull + self.nuisance.score(theta))


@dataclass(frozen=True)
class GaussNewton(Update):
    """``theta + P^-1 g``, ``steps`` times: steps to the most likely theta.

    Args:
        steps: 1 is enough where the data are linear in theta.
    """

    steps: int = field(default=2, kw_only=True)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"{type(self).__name__} needs steps >= 1, got {self.steps}.")

    def move(self, measurement: Measurement, belief: Belief, theta: Tensor, generator: torch.Generator) -> Tensor:
        for _ in range(self.steps):
            theta, _root = self._newton(measurement, belief, theta)
        return theta


@dataclass(frozen=True)
class Laplace(GaussNewton):
    """A draw from N(theta + P^-1 g, P^-1), theta after ``steps - 1`` Gauss-Newton steps.

    Exact where the data are linear in theta and its prior is Gaussian.
    """

    def move(self, measurement: Measurement, belief: Belief, theta: Tensor, generator: torch.Generator) -> Tensor:
        for _ in range(self.steps - 1):
            theta, _root = self._newton(measurement, belief, theta)
        mode, root = self._newton(measurement, belief, theta)
        z = normal_like(theta, generator).double().unsqueeze(-1)
        return mode + torch.linalg.solve_triangular(root.mT, z, upper=True).squeeze(-1).to(theta)
