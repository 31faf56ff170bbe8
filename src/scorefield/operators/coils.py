"""Receive coils: one image seen through the sensitivities of many."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.linalg.parts import cast
from scorefield.operators.basic import finite, image_shape
from scorefield.operators.linear import Operator


class Coils(Operator):
    r"""One image seen by many receive coils: (1, \*spatial) to (coils, \*spatial).

    .. math:: (A x)_c = S_c \, x.

    Pixel by pixel :math:`A A^H = S S^H` has rank one, so Sherman and Morrison invert :math:`R + v A A^H` in closed form
    for noise that may differ between coils and pixels.

    Args:
        maps: complex sensitivities (coils, *spatial).

    Raises:
        InputError: maps without a spatial axis, of an integer dtype, or not finite.
    """

    def __init__(self, maps: Tensor):
        maps = finite(torch.as_tensor(maps), "coil maps")
        shape = image_shape(tuple(maps.shape), spatial=1)
        super().__init__((1, *shape[1:]), shape)
        self.maps = maps

    def _apply(self, x: Tensor) -> Tensor:
        return cast(self.maps, x) * x

    def support(self, data: Tensor | None = None) -> Tensor | None:
        seen = (self.maps != 0) if data is None else (self.maps != 0) & data
        return None if bool(seen.any(0).all()) else seen.any(0, keepdim=True)

    def _adjoint(self, y: Tensor) -> Tensor:
        return (cast(self.maps, y).conj() * y).sum(1, keepdim=True)

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor:
        maps = cast(self.maps, v)
        power = (maps.abs().square() / noise).expand(v.shape).sum(1, keepdim=True)
        combined = self._adjoint(v / noise) * spread / (1 + spread * power)
        return (v - maps * combined) / noise
