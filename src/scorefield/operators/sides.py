r"""The space in which an innovation is solved: that of the data or that of the images.

With :math:`B = R^{-1/2} A` and data r in units of their noise, the innovation is

.. math:: w = B^H (I + B V B^H)^{-1} r = (I + B^H B V)^{-1} B^H r,

by the identity :math:`B^H (I + B V B^H) = (I + B^H B V) B^H`.  The first form is a system of the size of the data, the
second one of the size of the image.  Both are :math:`(I + P V Q)\,u = s`, :math:`w = Q u`, with one product by V an
iteration:

==========  ==============  =============  ==============
side        start :math:`s`  push :math:`P`  pull :math:`Q`
==========  ==============  =============  ==============
data        :math:`r`       :math:`B`      :math:`B^H`
image       :math:`B^H r`   :math:`B^H B`  :math:`I`
==========  ==============  =============  ==============

The two Krylov spaces have the same images w.  The image side stores fewer numbers where samples outnumber pixels, does
not solve for what no image explains, and asks for :math:`B^H B` only, which some operators multiply faster than B and
:math:`B^H` one after the other.  The data side is the more accurate one for the data solution
:math:`(I + B V B^H)^{-1} r`, which is :math:`r - B V w` on the image side, a small difference of large numbers where
the data are precise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from scorefield.linalg.covariance import Spread
from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import conjugate_gradients, inner, warn_unless_solved
from scorefield.noise import Gaussian

TOLERANCE, ITERATIONS = 1e-6, 1000  # of conjugate gradients; the second is a guard
ACCEPTED = 0.5  # relative residual: images are right to a tenth long before the part of data that none explains


class Linear(Protocol):
    """What a side asks of an operator A."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """``A x``."""
        ...

    @property
    def H(self) -> Callable[[Tensor], Tensor]:
        """The adjoint."""
        ...

    def weighted_gram(self, noise: Gaussian, x: Tensor, /) -> Tensor:
        """``A^H R^-1 A x``."""
        ...


class Side(ABC):
    """The system ``(I + push V pull) u = start(r)``, whose innovation is ``pull(u)``.

    Args:
        operator: A; linear.
        noise: the law with the covariance R.
    """

    def __init__(self, operator: Linear, noise: Gaussian):
        self.operator, self.noise = operator, noise

    @abstractmethod
    def start(self, r: Tensor) -> Tensor:
        """The right-hand side of data r (B, *shape_out) in units of their noise."""

    @abstractmethod
    def push(self, image: Tensor) -> Tensor:
        """An image (B, *shape_in), a product by V, in the space of the system."""

    @abstractmethod
    def pull(self, u: Tensor) -> Tensor:
        """The image (B, *shape_in) by which V is multiplied."""

    @abstractmethod
    def solve(self, spread: Spread, goal: Tensor, *, tolerance: float, iterations: int) -> Tensor:
        """The system solved for a right-hand side, by conjugate gradients; V is symmetric and positive.

        Args:
            spread: V.
            goal: right-hand side, such as ``start(r)``.
            tolerance: relative residual at which a draw stops.
            iterations: the most products by V.
        """

    @abstractmethod
    def bound(self, u: Tensor, spread: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        r"""The solution on the data, at most as long as r, as that of each true covariance is.

        Every V with :math:`\langle w, V w\rangle \ge 0` has :math:`\langle u, r\rangle = |u|^2 + \langle w, V w\rangle
        \ge |u|^2` for :math:`u = (I + B V B^H)^{-1} r`, hence :math:`|u| \le |r|`.  An unfinished solution, or one for
        a learned V, can be longer and is then cut.

        Args:
            u: solution of the system.
            spread: ``V pull(u)``.
            r: data in units of their noise.

        Returns:
            ``(I + B V B^H)^-1 r``, and by what number, at least 1, (B,), the images of u must be divided to agree with
            it.
        """

    def product(self, spread: Spread, u: Tensor) -> Tensor:
        """``(I + push V pull) u``."""
        return u + self.push(spread(self.pull(u)))

    def solve_well(self, spread: Spread, goal: Tensor) -> Tensor:
        """The system solved to the precision of its numbers, with a warning for what has not converged."""
        tolerance = max(TOLERANCE, torch.finfo(goal.real.dtype).eps ** 0.75)
        u = self.solve(spread, goal, tolerance=tolerance, iterations=ITERATIONS)
        warn_unless_solved(
            goal - self.product(spread, u), goal, ACCEPTED, f"The covariance of the data of {self.operator}"
        )
        return u

    def innovation(self, spread: Spread, residual: Tensor) -> Tensor:
        """``A^H (R + A V A^H)^-1 residual`` of residuals (B, *shape_out) in the units of the data."""
        return self.pull(self.solve_well(spread, self.start(self.noise.whiten(residual))))


class DataSide(Side):
    """Solve on the data: the side of an operator with fewer samples than pixels."""

    def start(self, r: Tensor) -> Tensor:
        return r

    def push(self, image: Tensor) -> Tensor:
        return self.noise.whiten(self.operator(image))

    def pull(self, u: Tensor) -> Tensor:
        return self.operator.H(self.noise.whiten(u))

    def solve(self, spread: Spread, goal: Tensor, *, tolerance: float, iterations: int) -> Tensor:
        def matrix(u: Tensor) -> Tensor:
            return self.product(spread, u)

        return conjugate_gradients(matrix, goal, tolerance=tolerance, iterations=iterations)

    def bound(self, u: Tensor, spread: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """A longer u is divided by its length over that of r."""
        del spread
        tiny = torch.finfo(r.real.dtype).tiny
        stretch = (inner(u, u) / inner(r, r).clamp(min=tiny)).sqrt().clamp(min=1)
        return u / per_image(stretch, u), stretch


class ImageSide(Side):
    """Solve on the image: the side of an operator with more samples than pixels, such as radial sampling."""

    def start(self, r: Tensor) -> Tensor:
        return self.operator.H(self.noise.whiten(r))

    def push(self, image: Tensor) -> Tensor:
        return self.operator.weighted_gram(self.noise, image)

    def pull(self, u: Tensor) -> Tensor:
        return u

    def solve(self, spread: Spread, goal: Tensor, *, tolerance: float, iterations: int) -> Tensor:
        r"""The matrix :math:`I + B^H B V` is symmetric in the inner product :math:`\langle a, V b\rangle`.

        Each vector u goes along with V u, which saves the second product by V.  Where V is 0 on the right-hand side,
        this is the solution.
        """

        def paired(u: Tensor) -> Tensor:
            return torch.stack([u, spread(u)], 1)

        def matrix(pair: Tensor) -> Tensor:
            return paired(pair[:, 0] + self.push(pair[:, 1]))

        start = paired(goal)
        pair = conjugate_gradients(matrix, start, product=_crossed, tolerance=tolerance, iterations=iterations)
        return torch.where(per_image(_crossed(start, start) == 0, goal), goal, pair[:, 0])

    def bound(self, u: Tensor, spread: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """The multiple of u, at most u itself, whose ``r - B V u`` is no longer than r: 0 where each would be."""
        known = self.noise.whiten(self.operator(spread))
        size, along = inner(known, known), 2 * inner(r, known)
        tiny = torch.finfo(r.real.dtype).tiny
        stretch = torch.where(size > along, size / along.clamp(min=tiny), 1)
        return r - known / per_image(stretch, known), stretch


def _crossed(a: Tensor, b: Tensor) -> Tensor:
    """``<u, V v>`` of pairs (u, V u) and (v, V v), (B, 2, *shape)."""
    return inner(a[:, 0], b[:, 1])
