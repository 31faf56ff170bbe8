"""A network in half precision on hardware that computes in half precision."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.nets.wrapped import Wrapped


class Half(Wrapped):
    """``net`` under bfloat16 autocast on processors that multiply bfloat16; on others ``net`` unchanged.

    Weights, inputs and outputs stay in single precision.  bfloat16 has three digits, so the first layer of a network
    should not round the image: :class:`scorefield.nets.PatchMLP` computes its first layer in single precision.

    Args:
        net: called as ``net(x, noise)``.
    """

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        half = computes_in_half(x.device)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half):
            return self.net(x, noise).to(x.dtype)


def computes_in_half(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices in hardware; an emulation is slower than single precision."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, probe, bool)() for probe in probes)
