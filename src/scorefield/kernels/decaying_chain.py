r"""Draws given the data by Langevin steps whose rate falls with the level, as in decoupled annealing."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernels.langevin import Langevin
from scorefield.kernels.likelihood import LikelihoodStep, MarkovChain
from scorefield.measurement import Measurement
from scorefield.schedules import Karras, Schedule


@dataclass(frozen=True)
class DecayingChain(LikelihoodStep):
    r""":class:`MarkovChain` of Langevin steps of rate :math:`r\,(1 - (1 - q)(1 - u))` at the level of quantile u.

    u is 1 at the largest level of ``schedule`` and 0 at its smallest, so the rate falls from r to q r as a walk of it
    goes on, by the same amount in each step.  The public code has the step 1e-4 for data of noise 0.01 (blur,
    super-resolution; 5e-5 for inpainting), which is r = 1 in units of the smallest variance of the law, and falls to
    q = 0.01 of it.  At the first levels the draws are twice as wide as the law; later steps correct them.

    Args:
        rate: r, a step in units of the smallest variance; stable below 2.
        last: q, the fraction of it at the last level.
        steps: at each level; 100 is published.
        schedule: the levels of the walk over the size of images.

    Raises:
        InputError: a rate that is not positive, a fraction outside (0, 1], or fewer than one step.

    References:
        Zhang, Chu, Berner, Meng, Anandkumar, Song, CVPR 2025, arXiv 2407.01521, and its public code.
    """

    rate: float = 1.0
    last: float = 0.01
    steps: int = 100
    schedule: Schedule = field(default=Karras(0.1, 100.0))

    def __post_init__(self) -> None:
        if not 0 < self.last <= 1:
            raise InputError(f"The rate of a decaying chain falls to a fraction in (0, 1], got {self.last:g}.")
        MarkovChain(Langevin(self.rate), self.steps)

    def at(self, level: Tensor) -> MarkovChain:
        done = 1 - float(self.schedule.rank(level))
        return MarkovChain(Langevin(self.rate * (1 - (1 - self.last) * done)), self.steps)

    def draw(self, measurement: Measurement, center: Tensor, rho: Tensor, generator: torch.Generator) -> Tensor:
        """A draw at the level ``rho`` of images of size 1; :meth:`at` knows other sizes."""
        return self.at(rho).draw(measurement, center, rho, generator)
