"""Readouts: the parts in which the data of a scan were taken, such as lines of k-space or views of a sinogram."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError


@dataclass(frozen=True, eq=False)
class Readouts:
    """Which datum belongs to which readout.

    Args:
        name: of one of them, in words.
        axis: of the data along which they are told apart.
        labels: (data.shape[axis],), the number of the readout of each entry, 0 ... readouts - 1.
        needed: (readouts,), True for those without which an image has no scale, such as the center of k-space.
        fields: the fields of the scan that belong to chosen readouts, (readouts,) boolean.
    """

    name: str
    axis: int
    labels: Tensor
    needed: Tensor
    fields: Callable[[Tensor], Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.needed)

    def draw(self, share: float, generator: torch.Generator) -> Tensor:
        """A random choice of them, none that is needed: boolean (readouts,).

        Raises:
            InputError: a share outside (0, 1), or too few to choose from.
        """
        if not 0 < share < 1:
            raise InputError(f"The share of the data to leave out is {share:g}; give one between 0 and 1, as 0.05.")
        others = (~self.needed).nonzero().squeeze(1)
        count = max(1, round(share * len(self)))
        if count >= len(self) or count > len(others):
            raise InputError(f"The scan has {len(self)} readouts ({self.name}), too few to leave {count} out.")
        chosen = torch.zeros(len(self), dtype=torch.bool)
        chosen[others[torch.randperm(len(others), generator=generator)[:count]]] = True
        return chosen


def lines_of(mask: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    r"""The lines of a Cartesian mask: entries that differ only along axes on which the mask is constant.

    A mask that is constant along all axes, of a full scan, has its lines across the last axis; a mask of single points
    has lines of one entry.

    Args:
        mask: boolean (1, \*spatial), zero frequency at ``n // 2``.

    Returns:
        The number of the line of each measured entry, in the order of the entries; True for the line of the zero
        frequency, (lines,); and the mask of chosen lines.
    """
    grid, size = mask[0], tuple(mask.shape[1:])
    across = [a for a, n in enumerate(size) if n > 1 and not bool((grid == grid.narrow(a, 0, 1)).all())]
    across = across or [len(size) - 1]
    strides = [math.prod(size[b] for b in across if b > a) if a in across else 0 for a in range(len(size))]
    number = sum(
        stride * torch.arange(n).reshape(-1, *[1] * (len(size) - 1 - a))
        for a, (stride, n) in enumerate(zip(strides, size, strict=True))
    )
    number = torch.as_tensor(number).expand(size)
    names, labels = number[grid].unique(return_inverse=True)
    center = number[tuple(n // 2 for n in size)]

    def chosen_mask(chosen: Tensor) -> Tensor:
        return (mask & torch.isin(number, names[chosen])).clone()

    return labels, names == center, chosen_mask
