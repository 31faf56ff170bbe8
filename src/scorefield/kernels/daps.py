r"""Decoupled annealing: a clean image is drawn given the noisy one and the data, then noise is added afresh.

If x has the law of :math:`x_0 + \sigma n` with :math:`x_0` of the posterior, then so has

.. math:: x_0' + t z, \qquad x_0' \sim p(x_0 \mid x, y) \propto p(x_0 \mid x)\, p(y \mid x_0),

at level t, whatever t is: levels are coupled through :math:`x_0` only, so an early error can be left behind.  The
method takes :math:`p(x_0 \mid x) \approx N(\hat x_0, r^2 I)` with :math:`r = \sigma`, where :math:`\hat x_0` is the end
of the probability flow from x.  That is as wide as the prior allows at small levels and wider elsewhere, so draws
vary too much in directions that the prior knows well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.kernel import Kernel, State
from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.descent import Descent
from scorefield.kernels.likelihood import LikelihoodStep, MarkovChain
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.randomness import normal_like
from scorefield.schedules import Karras


@dataclass(frozen=True)
class DAPS(Kernel[None]):
    """Decoupled annealing posterior sampling: flow to a clean image, draw given the data, add noise again.

    Walk it with the unconditional prior; the paper's levels are ``Karras(0.1, 100.0).grid(200)``.  Its Langevin steps
    take 0.01 for the noise level whatever the data's is, which is a measurement with ``White(0.01)``; here the
    likelihood is that of the data.

    Args:
        measurement: the data.
        descent: how the guess of x0 comes from x; by default the paper's five Euler steps of the probability flow, on
            its grid.  One step makes the guess the denoised image.
        likelihood: how x0 is drawn around that guess; by default the paper's 100 Langevin steps, at a constant rate.
            :class:`PerturbAndMap` is exact for Gaussian noise.

    References:
        Zhang, Chu, Berner, Meng, Anandkumar, Song, CVPR 2025, arXiv 2407.01521, and its public code.
    """

    measurement: Measurement = field(repr=False)
    descent: Descent = field(default=Descent(Ancestral(eta=0), Karras(0.01, 100.0), 5))
    likelihood: LikelihoodStep = field(default=MarkovChain())

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        guess = self.descent(prior, state.x, sigma, generator)
        x = self.likelihood.draw(self.measurement, guess, sigma, generator)
        return state.at(x + target * normal_like(x, generator) if bool(target > 0) else x)
