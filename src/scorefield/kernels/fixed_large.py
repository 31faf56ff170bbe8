r"""DDPM's ancestral sampling with the larger of its two variances.

In DDPM's units, where images have the extent 1 and :math:`x/\sqrt{1 + \sigma^2}` is the state, a step adds noise of
variance :math:`\beta = 1 - \frac{1 + t^2}{1 + s^2}` ("fixedlarge") or :math:`\tilde\beta =
\beta\,\bar\beta_t/\bar\beta_s` ("fixedsmall", :class:`Ancestral`), with :math:`\bar\beta_\sigma = \sigma^2/(1 +
\sigma^2)`.  Multiplied by :math:`1 + t^2` they are in ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.kernel import Kernel, State
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class FixedLarge(Kernel[None]):
    r"""Ancestral step with noise of variance :math:`(s^2 - t^2)(e^2 + t^2)/(e^2 + s^2)`: DDPM's "fixedlarge".

    The extent e of the prior is 1 in the units of DDPM.  Exact in the limit of small steps, and for any step if the
    images are white with variance e^2; :class:`Ancestral` is exact for images that are one point.  One denoiser
    evaluation; the last step, to 0, adds no noise.

    References:
        Ho, Jain, Abbeel, NeurIPS 2020, arXiv 2006.11239, section 3.2 (their default for CIFAR-10).
    """

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        denoised = prior.denoise(state.x, sigma)
        if not bool(target > 0):
            return state.at(denoised)
        unit = prior.extent**2
        variance = (sigma**2 - target**2).clamp(min=0) * (unit + target**2) / (unit + sigma**2)
        mean = denoised + (target / sigma) ** 2 * (state.x - denoised)
        return state.at(mean + variance.sqrt() * normal_like(denoised, generator))
