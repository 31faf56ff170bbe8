r"""RePaint: replacement of the measured part, and steps back and forth that make the rest consistent.

Replacement sets the measured part to the data with the noise of the level (:class:`~scorefield.kernels.Project`).  It
ignores the rest of the image, and the next denoising step has no time to reconcile the two.  RePaint therefore repeats
each stretch of the walk: down by replacement steps, back up by adding the noise between the two levels,
:math:`x_s = x_t + \sqrt{s^2 - t^2}\, z`, and down again.

The paper walks 250 levels, jumping back by 10 of them.  Here a step of the walk *is* one such stretch, which the
kernel divides further: ``jump`` even substeps from sigma to target, traversed ``passes`` times.  A walk over 25 levels
with the default fields is the paper's 250.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State, Then
from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.descent import arrive
from scorefield.kernels.project import Project
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class RePaint(Kernel[None]):
    """Replacement with resampling, ``jump * passes`` denoiser evaluations a step with the default kernel.

    Walk it with the unconditional prior.  The data are taken as free of noise.  The paper's operators are masks, for
    which replacement is one product; any other is replaced by its pseudo-inverse, a linear solve a substep, and where
    that is ill-conditioned noisy data are replaced by much larger noise.

    Args:
        measurement: the data.
        kernel: the unconditional step.
        jump: substeps of one step, the paper's jump length.
        passes: number of times that the step is made, the paper's number of resamplings.

    Raises:
        InputError: jump or passes below 1.

    References:
        Lugmayr, Danelljan, Romero, Yu, Timofte, Van Gool, CVPR 2022, arXiv 2201.09865 (jump 10, 10 passes).
    """

    measurement: Measurement = field(repr=False)
    kernel: Kernel[Any] = field(default=Ancestral())
    jump: int = 10
    passes: int = 10

    def __post_init__(self) -> None:
        if self.jump < 1 or self.passes < 1:
            raise InputError(f"RePaint needs jump >= 1 and passes >= 1, got {self.jump} and {self.passes}.")

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        levels = sigma + (target - sigma) * torch.linspace(0, 1, self.jump + 1, dtype=sigma.dtype, device=sigma.device)
        down = Then(self.kernel, Project(self.measurement))
        x = arrive(prior, down, state.x, levels, generator)
        for _ in range(self.passes - 1):
            back = x + (sigma**2 - target**2).clamp(min=0).sqrt() * normal_like(x, generator)
            x = arrive(prior, down, back, levels, generator)
        return state.at(x)
