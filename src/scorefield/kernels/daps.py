r"""Decoupled annealing: draw a clean image given the noisy one and the data, then add new noise.

If x is distributed as :math:`x_0 + \sigma n` with :math:`x_0` from the posterior, then

.. math:: x_0' + t z, \qquad x_0' \sim p(x_0 \mid x, y) \propto p(x_0 \mid x)\, p(y \mid x_0),

is distributed as :math:`x_0 + t n`, for every t.  Levels depend on each other only through :math:`x_0`, so later levels
can correct an early error.  The method takes :math:`p(x_0 \mid x) \approx N(\hat x_0, r^2 I)` with :math:`r = \sigma`,
where :math:`\hat x_0` is the end of the probability flow from x.  At small levels this law is as wide as the prior
allows, and at others it is wider, so draws vary too much in directions that the prior determines well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.decaying_chain import DecayingChain
from scorefield.kernels.descent import Descent, arrive
from scorefield.kernels.likelihood import LikelihoodStep
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.randomness import normal_like
from scorefield.schedules import Karras


@dataclass(frozen=True)
class DAPS(Kernel[None]):
    """Decoupled annealing posterior sampling: flow to a clean image, draw given the data, add noise again.

    Walk it with the unconditional prior; the paper's levels are ``Karras(0.1, 100.0).grid(200)``.  Its Langevin steps
    take a noise level of 0.01 for all data; a measurement with ``White(0.01)`` does the same.  Here the likelihood is
    that of the data, because then the draws are those of a posterior; the step of the chain follows its curvature.

    Args:
        measurement: the data.
        descent: makes a guess of x0 from x; by default the paper's five Euler steps of the probability flow, on its
            grid.  With one step the guess is the denoised image.
        likelihood: draws x0 around that guess; by default the paper's 100 Langevin steps, whose rate falls with the
            level.  :class:`MarkovChain` has a constant rate; :class:`PerturbAndMap` is exact for Gaussian noise.
        amplitude: size of an image that the paper calls 1, in the units of the image: the unit of the levels of
            ``descent`` and ``likelihood``.  By default ``prior.extent``.

    Raises:
        InputError: an amplitude that is not positive.

    References:
        Zhang, Chu, Berner, Meng, Anandkumar, Song, CVPR 2025, arXiv 2407.01521, and its public code.
    """

    measurement: Measurement = field(repr=False)
    descent: Descent = field(default=Descent(Ancestral(eta=0), Karras(0.01, 100.0), 5))
    likelihood: LikelihoodStep = field(default=DecayingChain())
    amplitude: float | None = None

    def __post_init__(self) -> None:
        if self.amplitude is not None and not self.amplitude > 0:
            raise InputError(f"DAPS needs a positive amplitude, got {self.amplitude:g}.")

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        unit = self.amplitude or prior.extent
        guess = arrive(prior, self.descent.kernel, state.x, self.descent.grid(sigma, unit), generator)
        x = self.likelihood.at(sigma / unit).draw(self.measurement, guess, sigma, generator)
        return state.at(x + target * normal_like(x, generator) if bool(target > 0) else x)
