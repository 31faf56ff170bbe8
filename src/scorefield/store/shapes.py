"""A prior built only if its weights are those of a file: a description of a few bytes can ask for terabytes of them.

The prior is built once without memory, on PyTorch's device "meta", while its weights are counted; the count of the file
ends it early.  Then it is built again with memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from scorefield.errors import InputError
from scorefield.store.description import build

INITIALIZERS = ("normal_", "uniform_")  # the ends of names, such as nn.init.kaiming_normal_
SPARE = 1 << 20  # numbers that a prior may have beyond those of its file, such as buffers that are not saved


def build_like(plain: Any, weights: Mapping[str, Tensor]) -> Any:
    """Build what ``plain`` describes, with weights of the names and shapes of ``weights``.

    Raises:
        InputError: the description asks for more weights than there are, or for others.
    """
    with torch.random.fork_rng(devices=[]), _at_most(weights):
        try:
            with torch.device("meta"), _NoNumbers():
                _check_shapes(build(plain), weights)
        except (RuntimeError, NotImplementedError) as error:
            if "meta" not in str(error):  # a constructor that computes with numbers is built with memory at once
                raise
    with _at_most(weights):
        return build(plain)


class _NoNumbers(TorchFunctionMode):
    """In the block random numbers are not drawn: without memory there is nothing to fill."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if getattr(func, "__name__", "").endswith(INITIALIZERS):
            return args[0] if args else options.get("tensor")
        return func(*args, **options)


@contextmanager
def _at_most(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """In the block a network may register as many numbers as the weights have, and no more tensors."""
    numbers, tensors = sum(t.numel() for t in weights.values()) + SPARE, 4 * len(weights) + 64
    used = [0, 0]

    def count(owner: nn.Module, name: str, value: Tensor | None) -> None:
        del owner
        used[0] += 0 if value is None else value.numel()
        used[1] += 1
        if used[0] > numbers or used[1] > tensors:
            raise InputError(f"it asks for more weights than its file holds, beginning with '{name}'.")

    handles = [hooks.register_module_parameter_registration_hook(count),
               hooks.register_module_buffer_registration_hook(count)]  # fmt: skip
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check_shapes(prior: Any, weights: Mapping[str, Tensor]) -> None:
    if not isinstance(prior, nn.Module):
        return
    for name, own in prior.state_dict().items():
        stored = weights.get(name)
        if stored is None or stored.shape != own.shape:
            has = "no such weights" if stored is None else f"{tuple(stored.shape)}"
            raise InputError(f"it asks for '{name}' of shape {tuple(own.shape)}, and its file has {has}.")
