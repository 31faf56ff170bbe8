"""A prior asked in another precision than its own."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.linalg.parts import in_precision
from scorefield.prior import Prior, Vjp


def precision_of(prior: Prior) -> torch.dtype | None:
    """Real dtype of what a learned prior learned; None of a closed form, which has learned nothing."""
    weight = next(prior.parameters(), None)
    return None if weight is None else weight.real.dtype


class Cast(Prior):
    """A prior asked in another precision than that of its weights, such as a network in single about double data.

    Args:
        prior: in its own precision.
        dtype: real floating dtype of its weights.
    """

    def __init__(self, prior: Prior, dtype: torch.dtype):
        super().__init__()
        self.prior, self.dtype = prior, dtype
        self.event_shape = prior.event_shape

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.prior.denoise(in_precision(x, self.dtype), sigma).to(x.dtype)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.prior.score(in_precision(x, self.dtype), sigma).to(x.dtype)

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        denoised, vjp = self.prior.linearize(in_precision(x, self.dtype), sigma)
        return denoised.to(x.dtype), lambda v: vjp(in_precision(v, self.dtype)).to(v.dtype)

    def draw(self, generator: torch.Generator | None = None) -> Cast:
        drawn = self.prior.draw(generator)
        return self if drawn is self.prior else Cast(drawn, self.dtype)
