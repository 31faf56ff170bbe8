"""A network in half precision where the hardware computes in it."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.nets.wrapped import Wrapped
from scorefield.training.settings import computes_in_half


class Half(Wrapped):
    """``net`` under bfloat16 autocast on processors that multiply bfloat16; elsewhere ``net`` as it is.

    Weights, inputs and outputs stay in single precision.  bfloat16 has three digits, so a network should not round
    the image itself: :class:`scorefield.nets.PatchMLP` keeps its first layer in single precision.

    Args:
        net: called as ``net(x, noise)``.
    """

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        half = computes_in_half(x.device)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half):
            return self.net(x, noise).to(x.dtype)
