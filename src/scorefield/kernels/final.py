"""The last step, to clean images, of samplers that stay at a level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.kernel import Kernel, State
from scorefield.prior import Prior


@dataclass(frozen=True)
class FinalDenoise(Kernel[None]):
    r"""``x + sigma^2 s(x, sigma)`` when ``target`` is 0, nothing before: the Tweedie step that ends annealed sampling.

    ``Then(Repeat(Langevin(rate), 5), FinalDenoise())`` is the annealed Langevin dynamics of NCSNv2.

    References:
        Jolicoeur-Martineau et al., ICLR 2021, arXiv 2009.05475; Song & Ermon, NeurIPS 2020, arXiv 2006.09011.
    """

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        return state if bool(target > 0) else state.at(prior.denoise(state.x, sigma))
