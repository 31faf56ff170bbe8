"""Objects that hold tensors without being networks: one ``to``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch

T = TypeVar("T", bound="Portable")


class Portable:
    """Anything whose attributes are tensors, other portables, or lists and tuples of them."""

    def to(self: T, device: torch.device | str) -> T:
        """A copy with every tensor on ``device``; dtypes stay."""
        other = copy.copy(self)
        vars(other).update({name: _moved(value, device) for name, value in vars(self).items()})
        return other


def followed(portable: T, fn: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor) -> T:
    """A copy where ``fn``, which a module applies to its tensors, takes ``like``; by themselves portables stay."""
    return portable.to(fn(like.new_empty(0)).device)


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, (torch.Tensor, Portable)):
        return value.to(device)
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(item, device) for item in value)
    return value
