"""The trace of a score's Jacobian: exactly, or in one product with a random direction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.densities.directions import Directions, Rademacher
from scorefield.linalg.parts import as_rows
from scorefield.linalg.solve import inner
from scorefield.prior import Vjp


class Trace(ABC):
    """How ``tr ds/dx`` is found from products with the Jacobian."""

    @abstractmethod
    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """Everything random for the batch ``x``, each (B, ...)."""

    @abstractmethod
    def of(self, vjp: Vjp, x: Tensor, *drawn: Tensor) -> Tensor:
        """The trace at each image, given ``v -> (ds/dx)^T v`` at ``x`` (B, ...): (B,)."""


def diagonal(vjp: Vjp, x: Tensor) -> Tensor:
    """``d s_i / d x_i`` for every real component of ``x``: (B, N), at the cost of N products."""
    found = []
    for i in range(as_rows(x).shape[1]):
        unit = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
        as_rows(unit)[:, i] = 1  # a view: the zeros are contiguous
        found.append(as_rows(vjp(unit))[:, i])
    return torch.stack(found, 1)


@dataclass(frozen=True)
class ExactTrace(Trace):
    """The sum of the diagonal, component by component.

    An image of N real components costs N backward passes, whose graphs are all kept: for vectors and small patches.
    """

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        return ()

    def of(self, vjp: Vjp, x: Tensor, *drawn: Tensor) -> Tensor:
        return diagonal(vjp, x).sum(1)


@dataclass(frozen=True)
class Hutchinson(Trace):
    r""":math:`v^T (\partial s / \partial x) v`, unbiased because :math:`E\,v v^T = I`; one backward pass.

    Args:
        directions: the law of v.

    References:
        Hutchinson, "A stochastic estimator of the trace of the influence matrix", Comm. in Statistics 1990.
    """

    directions: Directions = field(default_factory=Rademacher)

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        return (self.directions.draw(x, generator),)

    def of(self, vjp: Vjp, x: Tensor, *drawn: Tensor) -> Tensor:
        (v,) = drawn
        return inner(v, vjp(v))
