"""White noise: one level for all data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise.independent import Independent


class White(Independent):
    """White noise of standard deviation ``std`` per real component.

    Args:
        std: positive, in the units of the data.

    Raises:
        InputError: ``std`` is not a positive finite number.
    """

    def __init__(self, std: float):
        std = float(std)
        if not (math.isfinite(std) and std > 0):
            raise InputError(f"White noise needs a positive finite std, got {std}; estimate it from the data.")
        self.std = std

    @property
    def variance(self) -> Tensor:
        return torch.tensor(self.std**2, dtype=torch.float64)
