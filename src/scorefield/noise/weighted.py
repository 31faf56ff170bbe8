"""Independent noise whose level differs from datum to datum."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise.base import part_of
from scorefield.noise.independent import Independent


class Weighted(Independent):
    r"""Gaussian noise with a standard deviation for each datum: :math:`R = \mathrm{diag}(\mathrm{std}^2)`.

    The logarithm of Poisson counts c, as in low-dose CT, has about ``std = c ** -0.5``.

    Args:
        std: positive, per real component, broadcastable to the data without their batch.

    Raises:
        InputError: a level that is not real, positive and finite.
    """

    def __init__(self, std: Tensor):
        self.std = torch.as_tensor(std)
        if not self.std.is_floating_point() or not bool(((self.std > 0) & self.std.isfinite()).all()):
            raise InputError(
                "Weighted noise needs positive finite real levels, one for each datum; leave out data that were not"
                " measured, with operators.Sample, instead of giving them a level of 0 or infinity."
            )

    @property
    def variance(self) -> Tensor:
        return self.std.square()

    def part(self, axis: int, index: Tensor, shape: tuple[int, ...]) -> Weighted:
        return Weighted(part_of(self.std, axis, index, shape))
