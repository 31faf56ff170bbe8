r"""Denoising score matching: regression on the noise, without derivatives of the model.

With :math:`x = x_0 + \sigma n` the score of :math:`p_\sigma` is the conditional mean of :math:`-n/\sigma`, so

.. math::
    \tfrac12 E \Bigl\|s(x) + \frac n\sigma\Bigr\|^2
    = \tfrac12 E \|s(x) - \nabla \log p_\sigma(x)\|^2 + \frac{E\,tr\,\mathrm{Cov}[x_0 \mid x]}{2 \sigma^4}:

the minimizer is the score *at level sigma*, not the score of clean images, and the minimum is not 0.  By Tweedie's
formula :math:`s + n/\sigma = (D(x, \sigma) - x_0)/\sigma^2`, so this is also a regression on the clean image.

References:
    Vincent, "A connection between score matching and denoising autoencoders", Neural Computation 2011.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import squared_norm
from scorefield.objectives.base import Objective, batch, leaf, like, score_of
from scorefield.prior import Prior, level
from scorefield.randomness import normal_like
from scorefield.schedules import Geometric, Schedule


@dataclass(frozen=True)
class Denoising(Objective):
    r""":math:`\tfrac12 \|s(x_0 + \sigma n, \sigma) + n/\sigma\|^2` at one level.

    Args:
        sigma: noise level, positive.

    Raises:
        InputError: sigma is not a positive finite number.

    References:
        Vincent, Neural Computation 2011.
    """

    sigma: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise InputError(f"Denoising needs a finite noise level sigma > 0, got {self.sigma:g}.")

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        noise = normal_like(batch(x), generator)
        return x + self.sigma * noise, noise

    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        noisy, noise = drawn
        return 0.5 * squared_norm(score_of(prior, noisy, self.sigma) + noise / self.sigma)


def inverse_variance(sigma: Tensor) -> Tensor:
    """``1 / sigma^2``."""
    return sigma.square().reciprocal()


@dataclass(frozen=True)
class NoiseConditional(Objective):
    r""":math:`\tfrac12 w(\sigma) \|D(x_0 + \sigma n, \sigma) - x_0\|^2`, sigma random: all levels at once.

    The weight of a level does not change the minimizer; it decides how a finite network divides its capacity.  By
    default the squared error of the score has weight :math:`\sigma^2`.  Then a denoiser that removes no noise costs
    :math:`\tfrac12` per real component at every level, and the objective of a :class:`scorefield.priors.Unitless`
    network F is :math:`\tfrac12 \|F + n\|^2`.  The weighting of Karras et al. is
    ``NoiseConditional(LogNormal(-1.2, 1.2), EDM(0.5).weight)``.

    A network without sigma as an input learns :math:`-E[n \mid x]`, a mean over all levels that are compatible with x.

    Args:
        noise: law of sigma, from which a level is drawn for each image.
        weight: ``w(sigma)``, a function from (B,) to (B,).

    Raises:
        InputError: when evaluating, a weight that is neither one number nor one number for each image.

    References:
        Song & Ermon, NeurIPS 2019, arXiv 1907.05600; Karras et al., NeurIPS 2022, arXiv 2206.00364, table 1.
    """

    noise: Schedule = field(default_factory=Geometric)
    weight: Callable[[Tensor], Tensor] = inverse_variance

    def over(self, noise: Schedule) -> NoiseConditional:
        return replace(self, noise=noise)

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        # like noise.draw, but on the device of x, which is that of the generator
        u = torch.rand(len(batch(x)), generator=generator, dtype=torch.float64, device=x.device)
        return x, self.noise.quantile(u).to(x.real.dtype), normal_like(x, generator)

    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        x, sigma, noise = drawn
        noisy = leaf(x + level(sigma, x) * noise)
        error = squared_norm(like(prior.denoise(noisy, sigma), x, "denoised") - x)
        weight = torch.as_tensor(self.weight(sigma))
        if weight.shape not in ((), error.shape):
            raise InputError(f"The weight must map sigma ({len(x)},) to ({len(x)},), but gives {tuple(weight.shape)}.")
        return 0.5 * weight * error
