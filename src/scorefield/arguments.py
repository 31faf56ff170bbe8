"""Arguments of public functions: objects of the expected kind, and arrays of any library as tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from scorefield.errors import InputError

T = TypeVar("T")
WORDS = 60  # characters of a value that a message quotes


def of_kind(value: Any, kind: type[T], name: str, mend: str) -> T:
    """``value`` itself.

    Args:
        value: what a user gave.
        kind: the class that it must have.
        name: what is expected, such as "a prior".
        mend: what to give instead, such as "give sf.Samples(draws)".

    Raises:
        InputError: another class.
    """
    if not isinstance(value, kind):
        raise InputError(f"Expected {name}, got {brief(value)}; {mend}.")
    return value


def as_tensor(value: Any, name: str) -> Tensor:
    """``value`` as a floating or complex tensor: a tensor, an array of numpy, a list of either, an image's pixels.

    Whole numbers and booleans become float32.

    Args:
        value: what a user gave.
        name: what it is called in the message.

    Raises:
        InputError: anything else.
    """
    value = getattr(value, "pixels", value)
    several = isinstance(value, (list, tuple)) and all(isinstance(item, (Tensor, np.ndarray)) for item in value)
    try:
        tensor = torch.stack([torch.as_tensor(item) for item in value]) if several else torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"Expected numbers for the {name}, got {brief(value)}; give a tensor or an array.") from None
    return tensor if tensor.is_floating_point() or tensor.is_complex() else tensor.float()


def as_mask(value: Any, name: str) -> Tensor:
    """``value`` as a boolean tensor; 0 and 1 are allowed.

    Raises:
        InputError: other numbers, or no numbers.
    """
    tensor = value if isinstance(value, Tensor) else as_tensor(value, name)
    if not bool(((tensor == 0) | (tensor == 1)).all()):
        raise InputError(f"The {name} holds other numbers than 0 and 1; give True where it selects.")
    return tensor != 0


def path_of(value: Any) -> Path:
    """A path from a text or a path.

    Raises:
        InputError: anything else.
    """
    return Path(value) if isinstance(value, str) else of_kind(value, Path, "the path of a file or folder", "give it")


def brief(value: Any) -> str:
    """A value in a few words, for a message."""
    if value is None or isinstance(value, (str, int, float, complex)):
        text = repr(value)
        return text if len(text) <= WORDS else text[:WORDS] + "..."
    if isinstance(value, type):
        return f"the class {value.__name__}, not an object of it"
    shape = getattr(value, "shape", None)
    shaped = f" of shape {tuple(shape)}" if isinstance(shape, (tuple, list)) else ""
    return f"an object {type(value).__name__}{shaped}"
