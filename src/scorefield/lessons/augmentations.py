r"""Augmentations: random changes of training crops, objects called as ``(crops, generator) -> crops``.

If the crops follow p, the augmented crops follow the average of p over the random change, and the prior learns that
average.  With changes T drawn uniformly from a group,

.. math:: \bar p(x) = \mathrm{E}_T\, p(T^{-1} x) \,|\det T|^{-1},

which is p itself where the images already have the symmetry, and an assumption where they do not.  One draw is made for
each crop, shared by its channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Dihedral:
    """One of the 8 turns and flips of a square, uniformly.

    Three fair coins: flip the columns, flip the rows, transpose.  Each of the 8 symmetries is one outcome.
    """

    def __call__(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """``crops`` (n, C, side, side), each turned or flipped.

        Raises:
            InputError: the crops are not square.
        """
        if crops.shape[-1] != crops.shape[-2]:
            raise InputError(f"Crops of {tuple(crops.shape[-2:])} pixels cannot be turned; make them square.")
        heads = _uniform(3, crops, generator) < 0.5
        crops = torch.where(heads[0], crops.flip(-1), crops)
        crops = torch.where(heads[1], crops.flip(-2), crops)
        return torch.where(heads[2], crops.mT, crops)


@dataclass(frozen=True)
class Amplitude:
    r"""A positive factor, log-uniform: :math:`x \to a x`, :math:`\ln a \sim U(\ln \mathrm{low}, \ln \mathrm{high})`.

    For priors that must hold at any receiver gain.

    Args:
        low: smallest factor, positive.
        high: largest factor.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise InputError(f"Amplitude needs 0 < low <= high, got {self.low:g} and {self.high:g}.")

    def __call__(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """``crops`` (n, C, side, side), each times its factor."""
        span = math.log(self.high / self.low)
        return crops * (self.low * torch.exp(span * _uniform(1, crops, generator)[0])).to(crops.real.dtype)


@dataclass(frozen=True)
class Offset:
    r"""A real constant, uniform: :math:`x \to x + b`, :math:`b \sim U(\mathrm{low}, \mathrm{high})`.

    For units whose zero is a convention, such as Hounsfield's.

    Args:
        low: smallest constant, in image units.
        high: largest constant.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf:
            raise InputError(f"Offset needs finite low <= high, got {self.low:g} and {self.high:g}.")

    def __call__(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """``crops`` (n, C, side, side), each plus its constant."""
        return crops + (self.low + (self.high - self.low) * _uniform(1, crops, generator)[0]).to(crops.real.dtype)


@dataclass(frozen=True)
class Phase:
    r"""A global phase, uniform on the circle: :math:`x \to e^{i \varphi} x`, for complex crops.

    The phase of a scanner's receiver is arbitrary, so that of an MR image is too.
    """

    def __call__(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """``crops`` (n, C, side, side), each turned by its phase.

        Raises:
            InputError: the crops are real.
        """
        if not crops.is_complex():
            raise InputError(f"Crops of {crops.dtype} have no phase; leave Phase out, or give complex images.")
        angle = 2 * math.pi * _uniform(1, crops, generator)[0]
        return crops * torch.polar(torch.ones_like(angle), angle).to(crops.dtype)


def _uniform(count: int, crops: Tensor, generator: torch.Generator) -> Tensor:
    """``count`` numbers from [0, 1) for each crop, (count, n, 1, 1, 1) in double precision, drawn on the generator's
    device so that crops of any type, on any device, get the same ones."""
    drawn = torch.rand(count, len(crops), generator=generator, dtype=torch.float64, device=generator.device)
    return drawn.reshape(count, -1, *[1] * (crops.ndim - 1)).to(crops.device)
