"""The last step of a walk, to clean images: the mean of what is left open, or a draw of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.kernel import Kernel, M, State
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


@dataclass(frozen=True)
class FinalDraw(Kernel[M]):
    r"""The steps of ``kernel``, but the last one, to 0, draws x0 | x (:meth:`scorefield.prior.Prior.draw_clean`).

    The mean E[x0 | x], with which a walk usually ends, lacks the spread of x0 | x: a share of a draw's variance of
    :math:`\sigma^2 / (s^2 + \sigma^2)` in a direction of standard deviation s.  For data that resolve s far below
    the last level almost nothing would be left of it.

    Args:
        kernel: makes all other steps.
    """

    kernel: Kernel[M]

    def start(self, x: Tensor) -> State[M]:
        return self.kernel.start(x)

    def step(
        self, prior: Prior, state: State[M], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[M]:
        if bool(target > 0):
            return self.kernel.step(prior, state, sigma, target, generator)
        return state.at(prior.draw_clean(state.x, sigma, generator))
