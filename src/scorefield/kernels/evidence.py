r"""The likelihood of the operator's parameters while the image is still noisy.

At level sigma the image :math:`x_0` is uncertain: only the noisy x and the data are known.  Theta must be drawn given
these alone.  The denoised image in place of :math:`x_0`, with only the noise of the data, would give a law of theta
that is too narrow.  Two ways keep the joint law of x and theta:

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
    """Images (B, *shape) for the likelihood of theta, and the solve ``S^-1 r`` with the covariance of the residual."""

    image: Tensor
    solve: Callable[[Tensor], Tensor]


class Evidence(ABC):
    """A way to describe the clean image at a noise level."""

    @abstractmethod
    def __call__(self, posterior: Posterior, x: Tensor, sigma: Tensor, generator: torch.Generator) -> Belief:
        """The belief at x (B, C, *spatial) and level sigma (0-d); ``posterior`` is that of the current theta."""


@dataclass(frozen=True)
class Marginal(Evidence):
    """The image is integrated out: S = R + A V A^H, with A and V of the current theta.

    A draw of theta depends on the last theta only through x, so few levels are enough.  It is exact under a Gaussian
    prior where theta is added to the data.  Where theta changes how the data depend on the image, the dependence of S
    on theta is neglected; this error vanishes as sigma goes to 0.

    Args:
        iterations: vector-Jacobian products of each solve; there is one solve for each number of theta.
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
    """A clean image is drawn given x, the data and the current theta: S = R.

    It is valid for every dependence on theta, as far as the draws of the posterior are right.  Each level is one sweep
    of a Gibbs sampler, so many levels are needed where image and theta explain the same data.

    Args:
        descent: draws the clean image, with a kernel of the reverse SDE.
    """

    descent: Descent = field(default=Descent(Ancestral(), Karras(0.002, 80.0), 20))

    def __call__(self, posterior: Posterior, x: Tensor, sigma: Tensor, generator: torch.Generator) -> Belief:
        clean = self.descent(posterior, x, sigma, generator)
        return Belief(clean, posterior.measurement.gaussian.solve)
