"""How many draws fit in memory at once, measured on one of them."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.machine import free_bytes
from scorefield.prior import Prior


def graph_bytes(prior: Prior, x: Tensor, sigma: Tensor) -> int:
    """Bytes that one linearization of ``prior`` at ``x`` (1, ...) keeps for its backward pass."""
    sizes: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t.detach()  # not t: it refers to its graph, and the graph to it, so neither would be freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        prior.linearize(x, sigma)
    return sum(sizes.values())


def draws_that_fit(prior: Prior, x: Tensor, sigma: Tensor, *, share: float = 0.4) -> int:
    """The largest batch of draws whose graphs stay within ``share`` of the free memory; at least 1."""
    # in addition to the graph, a Krylov solver and the kernel need a few dozen images
    each = graph_bytes(prior, x, sigma) + 40 * x.numel() * x.element_size()
    return max(1, int(share * free_bytes(x.device) / each))
