"""Score matching of some channels, given the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.objectives.base import Objective
from scorefield.objectives.denoising import NoiseConditional
from scorefield.prior import Prior
from scorefield.schedules import Schedule


@dataclass(frozen=True)
class GivenChannels(Objective):
    r"""Noise-conditional score matching of all channels but the last, which are known: they get no noise and no error.

    For :class:`scorefield.priors.Conditional`: :math:`\tfrac12 w(\sigma) \|D(x_0 + \sigma n, z, \sigma) - x_0\|^2`.

    Args:
        objective: law and weight of the noise levels.
        known: number of known channels, at least 1.

    Raises:
        InputError: no known channel, or, when drawing, no unknown channel.
    """

    objective: NoiseConditional = field(default_factory=NoiseConditional)
    known: int = 2

    def __post_init__(self) -> None:
        if self.known < 1:
            raise InputError(f"GivenChannels needs at least 1 known channel, got {self.known}.")

    def over(self, noise: Schedule) -> GivenChannels:
        return replace(self, objective=self.objective.over(noise))

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        if x.ndim < 3 or x.shape[1] <= self.known:
            raise InputError(f"Images {tuple(x.shape)} have no channel to learn besides {self.known} known ones.")
        clean, sigma, noise = self.objective.draw(x, generator)
        return clean, sigma, torch.cat([noise[:, : -self.known], torch.zeros_like(noise[:, -self.known :])], 1)

    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        return self.objective.terms(prior, *drawn)
