r"""Training objectives: ``objective(prior, x, generator) -> scalar``, smallest at the true score.

Denoising score matching (Vincent 2011) needs no derivative of the model.  With :math:`x = x_0 + \sigma n` the score of
:math:`p_\sigma` minimizes :math:`E\|s(x,\sigma) + n/\sigma\|^2`, which by Tweedie is the denoising error
:math:`E\|D(x,\sigma) - x_0\|^2 / \sigma^4`.  Which weight multiplies each level does not move the minimizer; it decides
what a finite network spends itself on, so the prior states it.

References:
    Vincent, "A connection between score matching and denoising autoencoders", Neural Computation 2011;
    Song & Ermon, NeurIPS 2019, arXiv 1907.05600; Karras et al., NeurIPS 2022, arXiv 2206.00364.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.noise import normal_like
from scorefield.prior import Prior, level
from scorefield.schedule import Geometric, Schedule


def _inverse_variance(sigma: Tensor) -> Tensor:
    return sigma.square().reciprocal()


@dataclass(frozen=True)
class Denoising:
    r"""Denoising score matching over a noise law: :math:`E\,w(\sigma)\,\|D(x_0+\sigma n,\sigma) - x_0\|^2` per pixel.

    Args:
        noise: law of sigma, drawn for each image.
        weight: ``w(sigma)``; the default 1/sigma^2 is the noise-conditional objective of Song & Ermon
            (sigma^2 times the squared score error).
    """

    noise: Schedule = field(default_factory=lambda: Geometric(0.01, 1.0))
    weight: Callable[[Tensor], Tensor] = _inverse_variance

    def __call__(self, prior: Prior, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Monte-Carlo estimate of the objective on the clean batch x (B, ...): a scalar with a graph."""
        sigma = self.noise.draw(len(x), generator).to(x.real.dtype).to(x.device)
        noisy = x + level(sigma, x) * normal_like(x, generator)
        error = (prior.denoise(noisy, sigma) - x).abs().square().flatten(1).mean(1)
        return (self.weight(sigma) * error).mean()
