r"""The inner loop of PaDIS to the letter: Langevin steps at a level, each with a gradient step on the data.

At level s the public code makes ten times, each time with a tiling of its own,

.. math::
    x \leftarrow x - \zeta\,\nabla_x \|y - A D\| / (g u) + \frac{a}{2 s^2}\,(D - x) + \sqrt a\,z,
    \qquad a = \epsilon s^2,

with both gradients at the same x, for images that it calls 1 and data of size g u.  For images x of size u the step on
the data is :math:`u\,\zeta/g` times the gradient; the others have no unit.  At the last level there is no noise z.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class LiteralPaDIS(Kernel[None]):
    r"""Langevin steps of rate epsilon/2 at ``sigma``, each with zeta times the gradient of the residual's norm.

    Walk it with a :class:`~scorefield.priors.Tiling` over ``Karras(0.003, 10).grid(100)``: 100 levels and 1000
    evaluations as published for CT, the last step without noise.  Each inner step draws a new tiling.  The step on the
    data knows nothing of their noise, so the draws are not calibrated.  With zeta a little too large the images
    diverge; where A is of another kind than the paper's, choose zeta on a known image.

    The paper starts from noise, its public code from the filtered back-projection
    (:class:`scorefield.start.WarmStart`); the paper states epsilon = 1 and geometric levels.

    Args:
        measurement: the data.
        zeta: step on the data; 0.3 in the code.
        epsilon: the length of a Langevin step over ``sigma^2``, twice the rate of ``Langevin``; 0.5 in the code.
        steps: inner steps at each level.
        amplitude: u, the size of an image that the paper calls 1, in the units of the image.
        gain: g, the size of the data of such an image over u.

    Raises:
        InputError: a number that is not positive.

    References:
        Hu, Song, Xu, Shen, Fessler, NeurIPS 2024, arXiv 2406.02462; github.com/sundeco/PaDIS, function ``dps``.
    """

    measurement: Measurement = field(repr=False)
    zeta: float = 0.3
    epsilon: float = 0.5
    steps: int = 10
    amplitude: float = 1.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        numbers = (self.zeta, self.epsilon, self.amplitude, self.gain)
        if not (all(v > 0 for v in numbers) and self.steps >= 1):
            raise InputError(
                "LiteralPaDIS needs positive zeta, epsilon, amplitude and gain, and steps >= 1, got"
                f" {', '.join(f'{v:g}' for v in numbers)} and {self.steps}."
            )

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        x, noise = state.x, (self.epsilon**0.5 * sigma) * bool(target > 0)
        for _ in range(self.steps):
            mean, uphill = self._look(prior.draw(generator), x, sigma)
            x = x + self.amplitude / self.gain * self.zeta * uphill + self.epsilon / 2 * (mean - x)
            x = x + noise * normal_like(x, generator)
        return state.at(x)

    def _look(self, prior: Prior, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The denoised images, and the gradient by x that makes the residual of each shorter."""
        mean, vjp = prior.linearize(x, sigma)
        residual = self.measurement.residual(mean)
        norm = inner(residual, residual).sqrt().clamp(min=torch.finfo(residual.real.dtype).tiny)
        return mean, vjp(self.measurement.operator.at(mean).H(residual)) / per_image(norm, mean)
