r"""A whole walk inside one step: from a noisy image down to a clean one.

A schedule is a quantile function u -> sigma, so the levels below s are its values at u <= F(s), F being its inverse.
For :class:`~scorefield.schedules.Karras` and :class:`~scorefield.schedules.Geometric` these are again schedules of the
same family, with s for ``sigma_max``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.portable import Portable
from scorefield.prior import Prior
from scorefield.sampling import walk
from scorefield.schedules import Schedule


def arrive(prior: Prior, kernel: Kernel[Any], x: Tensor, sigmas: Tensor, generator: torch.Generator) -> Tensor:
    """Walk, and return the images at the end."""
    for state in walk(prior, kernel, x, sigmas, generator):
        x = state.x
    return x


@dataclass(frozen=True)
class Descent(Portable):
    """A walk of ``kernel`` from any level to clean images, in at most ``steps`` steps of ``schedule``.

    The levels of the schedule are in units of ``prior.extent``.

    A kernel of the reverse SDE draws from p(x0 | x); one of the probability-flow ODE follows the flow to its end,
    which is neither a draw nor the mean; a single step is the denoised image E[x0 | x].

    Args:
        kernel: moves the images.
        schedule: gives the levels below the first one; below its smallest level there is one step to 0.
        steps: number of steps.

    Raises:
        InputError: fewer than one step.
    """

    kernel: Kernel[Any]
    schedule: Schedule
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"A descent needs at least 1 step, got {self.steps}.")

    def grid(self, sigma: Tensor, extent: float = 1.0) -> Tensor:
        """Levels from ``sigma`` (0-d) to 0, for a prior of that extent: at most (steps + 1,), float64."""
        first = sigma.cpu().double().reshape(1)
        first_rank = self.schedule.rank(first[0] / extent)
        levels = extent * self.schedule.quantile(first_rank * torch.linspace(1, 0, self.steps, dtype=torch.float64))[1:]
        return torch.cat([first, levels[levels < first], first.new_zeros(1)])

    def __call__(self, prior: Prior, x: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
        """Clean images from ``x`` (B, C, *spatial) at level ``sigma`` (0-d)."""
        return arrive(prior, self.kernel, x, self.grid(sigma, prior.extent), generator)
