r"""RED-diff: the mode, by gradient descent with the denoiser at smaller and smaller noise.

A point mass at :math:`\mu` stands for the posterior.  The variational objective is then a data term and, at each level,
the distance of the noise in :math:`x = \mu + \sigma e` from the noise that the prior finds in it.  The paper takes the
means of both terms over their entries, m real numbers of data and n of the image.  With its weight
:math:`\lambda\sigma` of level sigma the gradient is

.. math:: G = -\frac{1}{m} A^H (y - A\mu) + \frac{\lambda \sigma}{n} \Big(\frac{x - D(x, \sigma)}{\sigma} - e\Big)
            = -\frac{1}{m} A^H (y - A\mu) + \frac{\lambda}{n}\, (\mu - D(x, \sigma)),

and goes to Adam once at each level of the walk.  The fixed point under a Gaussian prior N(m, S) solves
:math:`A^H(y - A\mu) = \frac{m}{n} \lambda\, E_\sigma[\sigma^2 (S + \sigma^2 I)^{-1}]\, (\mu - m)`: a regularized least
squares, not the posterior mean.  The paper's images are over the amplitude u that it calls 1, its operators over their
norm g; so Adam, whose step knows no size of the gradient, moves by u times its rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.linalg.parts import as_rows
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
    paper walks 1000 levels, in descending order.

    Args:
        measurement: the data; their noise is not used.
        weight: lambda of the means over m data and n pixels; the paper's is 0.25.  For sums of both terms in place of
            means, as in version 0.1, it is n/m times as large.
        rate: step of Adam over the amplitude; the paper's is 0.1.
        betas: of Adam; the defaults are the paper's.
        amplitude: u, the size of an image that the paper calls 1, in the units of the image; its images fill [-1, 1].
        gain: g, the size of the data of such an image over u; the paper's data are in the unit of the image.

    Raises:
        InputError: a negative weight; a rate, an amplitude or a gain that is not positive; betas outside [0, 1).

    References:
        Mardani, Song, Kautz, Vahdat, ICLR 2024, arXiv 2305.04391, and its public code.
    """

    measurement: Measurement = field(repr=False)
    weight: float = 0.25
    rate: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    amplitude: float = 1.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and self.rate > 0):
            raise InputError(f"RedDiff needs weight >= 0 and rate > 0, got {self.weight:g} and {self.rate:g}.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"RedDiff needs betas in [0, 1), got {self.betas}.")
        if not (self.amplitude > 0 and self.gain > 0):
            raise InputError(f"RedDiff needs a positive amplitude and gain, got {self.amplitude:g} and {self.gain:g}.")

    def step(
        self, prior: Prior, state: State[Adam | None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Adam | None]:
        mu, (mean, square, count) = state.x, state.memory or Adam(0.0, 0.0, 0)
        if count == 0:
            start = pseudo_inverse(self.measurement.operator, self.measurement.y.to(mu.device))
            mu = start.to(mu.dtype).expand_as(mu)
        gradient = self._gradient(mu, prior.denoise(mu + sigma * normal_like(mu, generator), sigma))
        first, second = self.betas
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * (gradient.conj() * gradient).real
        count += 1
        size = (square / (1 - second**count)).sqrt() + EPSILON
        step = self.amplitude * self.rate * mean / (1 - first**count) / size
        return State(mu - step, Adam(mean, square, count))

    def _gradient(self, mu: Tensor, denoised: Tensor) -> Tensor:
        """That of the objective in the units of the paper."""
        given = self.measurement
        pulled = given.operator.H(given.residual(mu)) / self.gain**2
        data, pixels = as_rows(given.y).shape[1], as_rows(mu).shape[1]
        return (self.weight / pixels * (mu - denoised) - pulled / data) / self.amplitude
