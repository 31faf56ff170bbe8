"""Steps at the level that the last step has reached."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.kernel import Kernel, M, State
from scorefield.prior import Prior


@dataclass(frozen=True)
class Hold(Kernel[M]):
    """A step of ``kernel`` at ``target``, not on the way to it: the corrector of a predictor-corrector pair.

    ``Then(Ancestral(), Repeat(Hold(Langevin()), 2))`` is a PC sampler.  At target 0 the images are clean and do not
    change.
    """

    kernel: Kernel[M]

    def start(self, x: Tensor) -> State[M]:
        return self.kernel.start(x)

    def step(
        self, prior: Prior, state: State[M], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[M]:
        return self.kernel.step(prior, state, target, target, generator) if bool(target > 0) else state
