"""How many draws fit in memory at once, measured on one of them."""

from __future__ import annotations

import os

import torch
from torch import Tensor

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


def free_bytes(device: torch.device) -> int:
    """Memory that can still be allocated on ``device``."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:  # MemAvailable includes the file cache, which the system frees on demand; the number of free pages does not
        with open("/proc/meminfo") as file:
            (kilobytes,) = (line.split()[1] for line in file if line.startswith("MemAvailable:"))
        return 1024 * int(kilobytes)
    except (OSError, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def draws_that_fit(prior: Prior, x: Tensor, sigma: Tensor, *, share: float = 0.4) -> int:
    """The largest batch of draws whose graphs stay within ``share`` of the free memory; at least 1."""
    # in addition to the graph, a Krylov solver and the kernel need a few dozen images
    each = graph_bytes(prior, x, sigma) + 40 * x.numel() * x.element_size()
    return max(1, int(share * free_bytes(x.device) / each))
