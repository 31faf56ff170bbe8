r"""What the data say of the operator's parameters while the image is still noisy.

At level sigma the image :math:`x_0` is known as far as the noisy x and the data tell, and theta must be drawn given
just that: the denoised image in place of :math:`x_0`, with the noise of the data alone, gives too narrow a law.  Two
ways keep the walk's joint law of x and theta:

- with :math:`x_0 \mid x \approx N(D, V)`, :math:`V = \sigma^2 J`, the image can be integrated out,
  :math:`y \mid x, \theta \sim N(F_\theta(D),\ R + A V A^H)` (:class:`Marginal`);
- a clean image can be drawn, :math:`x_0 \mid x, y, \theta`, and then
  :math:`y \mid x_0, \theta \sim N(F_\theta(x_0), R)` (:class:`Imputed`): data augmentation.

References:
    Tanner & Wong, JASA 1987 (data augmentation).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.descent import Descent
from scorefield.posteriors.base import Posterior
from scorefield.posteriors.mmps import MMPS
from scorefield.prior import level
from scorefield.schedules import Karras


class Belief(NamedTuple):
    """Images (B, *shape) that theta is judged by, and the solve ``S^-1 r`` with the covariance of their residual."""

    image: Tensor
    solve: Callable[[Tensor], Tensor]


class Evidence(ABC):
    """What is known of the clean image at a noise level."""

    @abstractmethod
    def __call__(self, posterior: Posterior, x: Tensor, sigma: Tensor, generator: torch.Generator) -> Belief:
        """The belief behind x (B, C, *spatial) at level sigma (0-d), the posterior being that of the current theta."""


@dataclass(frozen=True)
class Marginal(Evidence):
    """The image integrated out: S = R + A V A^H, A and V those of the current theta.

    A draw of theta then depends on the last one no more than x does, so few levels are enough.  Exact under a Gaussian
    prior where theta is added to the data; where it changes how they depend on the image, the dependence of S on theta
    is neglected, an error that vanishes with sigma only.

    Args:
        iterations: vector-Jacobian products for each solve, of which theta needs as many as it has numbers.
        tolerance: relative residual at which a solve stops early.
    """

    iterations: int = 8
    tolerance: float = 1e-4

    def __call__(self, posterior: Posterior, x: Tensor, sigma: Tensor, generator: torch.Generator) -> Belief:
        mean, vjp = posterior.prior.linearize(x, sigma)
        near, variance = posterior.measurement.at(mean), level(sigma, x).square()
        system = MMPS(posterior.prior, near, iterations=self.iterations, tolerance=self.tolerance)
        return Belief(mean, lambda r: system.solve(variance, vjp, r)[0])


@dataclass(frozen=True)
class Imputed(Evidence):
    """A clean image drawn given x, the data and the current theta: S = R.

    Right however theta enters, for as good as the posterior draws.  Each level is one sweep of a Gibbs sampler, so that
    levels must be many where image and theta explain the same data.

    Args:
        descent: how the clean image is drawn; its kernel is one of the reverse SDE.
    """

    descent: Descent = field(default=Descent(Ancestral(), Karras(0.002, 80.0), 20))

    def __call__(self, posterior: Posterior, x: Tensor, sigma: Tensor, generator: torch.Generator) -> Belief:
        clean = self.descent(posterior, x, sigma, generator)
        return Belief(clean, posterior.measurement.gaussian.solve)
