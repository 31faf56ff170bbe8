"""Objects that contain tensors without being networks, such as operators and noise: their method ``to``.

They are no ``nn.Module``, because a module's method ``_apply`` moves it between devices, and operators have a method
``_apply`` of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch

T = TypeVar("T", bound="Portable")


class Portable:
    """Base class of objects whose attributes are tensors, other portables, or lists and tuples of them."""

    def to(self: T, device: torch.device | str) -> T:
        """A copy with every tensor on ``device``; dtypes do not change."""
        other = copy.copy(self)
        vars(other).update({name: _move(value, device) for name, value in vars(self).items()})
        return other


def move_with(portable: T, fn: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor) -> T:
    """A copy of ``portable`` on the device to which ``fn`` moves ``like``.

    ``nn.Module.to`` applies a function to each tensor of a module.  A module that contains a portable calls this with
    that function, because the module does not move its portables by itself.

    Args:
        portable: an attribute of the module.
        fn: the function that the module applies to its tensors.
        like: a tensor of the portable.
    """
    return portable.to(fn(like.new_empty(0)).device)


def _move(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, (torch.Tensor, Portable)):
        return value.to(device)
    if isinstance(value, (list, tuple)):
        return type(value)(_move(item, device) for item in value)
    return value
