r"""A prior at one fixed noise level, so that sigma is free to be a clock.

Kernels read their step from sigma: :class:`~scorefield.kernels.Langevin` takes :math:`\alpha = r\,\sigma^2`.  Langevin
dynamics on *one* density with decaying steps, :math:`\alpha_t = \alpha_0\,(p_0^t)^2`, is therefore a walk of that
kernel over the geometric clock :math:`\sigma_t = p_0^t`, on a density that does not depend on the clock::

    target = Frozen(mixture, 0.0)
    clock = 0.99 ** torch.arange(1, 602, dtype=torch.float64)  # T = 600 steps, p0 = 0.99
    for state in walk(target, Langevin(rate=1.0), start, clock, generator):  # alpha_0 = 1
        ...
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Prior, Score, level
from scorefield.randomness import normal_like


class Frozen(Score):
    """The law ``p_sigma`` of a prior at one level sigma, whatever level its methods get.

    For kernels that sample one density (Langevin, its Metropolis relatives, ascent), not for those that descend from
    level to level: its ``denoise`` is a step along the frozen score, not a posterior mean.

    Args:
        prior: any prior.
        sigma: the level, >= 0; 0 needs a prior with a clean score.

    Raises:
        InputError: the level is not a finite number >= 0.
    """

    def __init__(self, prior: Prior, sigma: float):
        super().__init__()
        if not (math.isfinite(sigma) and sigma >= 0):
            raise InputError(f"The frozen level is a finite number >= 0, got {sigma}.")
        self.prior, self.sigma = prior, float(sigma)
        self.event_shape = prior.event_shape

    @property
    def extent(self) -> float:
        return self.amplitude or self.prior.extent

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        level(sigma, x)
        return self.prior.score(x, self.sigma)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p(x)`` at the frozen level: (B,).

        Raises:
            InputError: the prior has no log-density.
        """
        level(sigma, x)
        return self.prior.log_prob(x, self.sigma)

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent draws (n, *event_shape) of the frozen law: draws of the prior and noise.

        Raises:
            InputError: the prior has no exact draws.
        """
        clean = self.prior.rsample(n, generator)
        return clean + self.sigma * normal_like(clean, generator)

    def draw(self, generator: torch.Generator | None = None) -> Frozen:
        return Frozen(self.prior.draw(generator), self.sigma)
