r"""Several processes that train one prior.

Every process draws the whole batch and its noise, from the same streams, and computes the gradient of its own rows; the
sum over processes is the gradient of the whole batch.  So the number of processes changes the rounding of a step and
nothing else; over many steps a training amplifies that rounding, and weights after 60 steps differ visibly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Workers:
    """One process alone.

    Attributes:
        rank: number of this process, from 0; 0 writes files and shows progress.
        size: number of processes.
    """

    rank, size = 0, 1

    def rows(self, n: int, parts: int) -> list[slice]:
        """This process's rows of a batch of ``n``, in up to ``parts`` parts of nearly the same length."""
        first, last = self.rank * n // self.size, (self.rank + 1) * n // self.size
        cuts = [first + (last - first) * k // parts for k in range(parts + 1)]
        return [slice(a, b) for a, b in pairwise(cuts) if a < b]

    def add_up(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Sum the gradients over the processes, in place, and the loss."""
        del parameters
        return loss

    def agree(self, value: float) -> float:
        """The value of process 0, for all processes."""
        return value


class Group(Workers):
    """The processes of torch's default group."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def add_up(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        for p in parameters:  # a process without rows still takes part
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        gradients = [p.grad for p in parameters if p.grad is not None]
        all_numbers = torch.cat([loss.reshape(1), *(g.flatten() for g in gradients)])
        dist.all_reduce(all_numbers)
        total, *sums = all_numbers.split([1, *(g.numel() for g in gradients)])
        for gradient, total_gradient in zip(gradients, sums, strict=True):
            gradient.copy_(total_gradient.view_as(gradient))
        return total.squeeze(0)

    def agree(self, value: float) -> float:
        shared = torch.tensor(value, dtype=torch.float64, device=_device())
        dist.broadcast(shared, 0)
        return shared.item()


def workers() -> Workers:
    """The group of processes that this one belongs to; this one alone if there is no group."""
    return Group() if dist.is_available() and dist.is_initialized() else Workers()


@contextmanager
def process_group() -> Iterator[Workers]:
    """The processes that ``torchrun`` started, as a group: NCCL on GPUs, one each, else gloo."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Workers()
        return
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "nccl"
        torch.cuda.set_device(_device())
    dist.init_process_group(backend, timeout=timedelta(minutes=10))
    try:
        yield Group()
    finally:
        dist.destroy_process_group()


def _device() -> torch.device:
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )
