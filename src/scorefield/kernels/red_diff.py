r"""RED-diff: the mode, by gradient descent with the denoiser at smaller and smaller noise.

A point mass at :math:`\mu` stands for the posterior.  The variational objective is then a data term and, at each level,
the distance of the noise in :math:`x = \mu + \sigma e` from the noise that the prior finds in it.  Its gradient, with
the paper's weight :math:`\lambda\sigma` of level sigma,

.. math:: g = -A^H (y - A\mu) + \lambda \sigma \Big(\frac{x - D(x, \sigma)}{\sigma} - e\Big)
            = -A^H (y - A\mu) + \lambda\, (\mu - D(x, \sigma)),

goes to Adam once at each level of the walk.  The fixed point under a Gaussian prior N(m, S) solves
:math:`A^H(y - A\mu) = \lambda\, E_\sigma[\sigma^2 (S + \sigma^2 I)^{-1}]\, (\mu - m)`: a regularized least squares,
not the posterior mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.measurement import Measurement
from scorefield.operators.consistency import pseudo_inverse
from scorefield.prior import Prior
from scorefield.randomness import normal_like

EPSILON = 1e-8  # Adam's


class Adam(NamedTuple):
    """Running means of the gradient and of its square, and the number of steps made."""

    mean: Tensor | float
    square: Tensor | float
    steps: int


@dataclass(frozen=True)
class RedDiff(Kernel[Adam | None]):
    """One Adam step at level ``sigma``; a walk ends near a mode, and its draws differ by their random numbers only.

    Walk it with the unconditional prior.  It starts at ``A^+ y`` for any first images, and ``target`` is not used.  The
    paper's objective takes the means of both terms over their entries; sums are taken here, which is the same for as
    many data as pixels.

    Args:
        measurement: the data; their noise is not used, and ``weight`` is in units of its variance.
        weight: lambda, the paper's 0.25.
        rate: step of Adam, in units of the image; the paper's 0.1 is for images in [-1, 1].
        betas: of Adam; the defaults are the paper's.

    Raises:
        InputError: a negative weight, a rate that is not positive, or betas outside [0, 1).

    References:
        Mardani, Song, Kautz, Vahdat, ICLR 2024, arXiv 2305.04391, and its public code.
    """

    measurement: Measurement = field(repr=False)
    weight: float = 0.25
    rate: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and self.rate > 0):
            raise InputError(f"RedDiff needs weight >= 0 and rate > 0, got {self.weight:g} and {self.rate:g}.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"RedDiff needs betas in [0, 1), got {self.betas}.")

    def step(
        self, prior: Prior, state: State[Adam | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Adam | None]:
        mu, (mean, square, count) = state.x, state.memory or Adam(0.0, 0.0, 0)
        if count == 0:
            start = pseudo_inverse(self.measurement.operator, self.measurement.y.to(mu.device))
            mu = start.to(mu.dtype).expand_as(mu)
        denoised = prior.denoise(mu + sigma * normal_like(mu, generator), sigma)
        pulled = self.measurement.operator.H(self.measurement.residual(mu))
        gradient = self.weight * (mu - denoised) - pulled
        first, second = self.betas
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * (gradient.conj() * gradient).real
        count += 1
        size = (square / (1 - second**count)).sqrt() + EPSILON
        return State(mu - self.rate * mean / (1 - first**count) / size, Adam(mean, square, count))
