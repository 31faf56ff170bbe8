r"""Linear operators and their algebra.

An operator maps images ``x`` (B, \*shape_in) to data ``y`` (B, \*shape_out).  A new one is a class with ``_apply``
and ``_adjoint``; the algebra ``A @ B``, ``A + B``, ``c * A``, ``A.H`` and the solvers are inherited.

Real and complex spaces alike carry the real inner product :math:`\langle a, b\rangle = \mathrm{Re}\sum \bar a b`,
the right one for Gaussian noise with equal variance per real component.  An operator from real images to
complex data (a real image seen through complex coils) then has an adjoint like any other, and conjugate
gradients need one code path.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.covariance import Isotropic, Spread
from scorefield.linalg.parts import per_image
from scorefield.noise import Gaussian
from scorefield.operators.sides import DataSide, Side
from scorefield.portable import Portable

Shape = tuple[int, ...]


class Operator(Portable, ABC):
    """A linear map from images (B, *shape_in) to data (B, *shape_out).

    Args:
        shape_in: shape of one image, without the batch.
        shape_out: shape of its data, without the batch.
    """

    shape_in: Shape
    shape_out: Shape

    def __init__(self, shape_in: Shape, shape_out: Shape):
        self.shape_in = tuple(int(n) for n in shape_in)
        self.shape_out = tuple(int(n) for n in shape_out)

    @abstractmethod
    def _apply(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    def __call__(self, x: Tensor) -> Tensor:
        """Data ``A x`` of the images ``x`` (B, *shape_in).

        Raises:
            InputError: the trailing shape of x is not ``shape_in``.
        """
        if tuple(x.shape[1:]) != self.shape_in:
            raise InputError(
                f"{self} maps images of shape (B, {_spell(self.shape_in)}), got {tuple(x.shape)};"
                " reshape the input or build the operator for this size."
            )
        return self._apply(x)

    @property
    def linear(self) -> bool:
        """Whether ``at`` gives the operator itself, whatever the images."""
        return True

    def at(self, x: Tensor) -> Operator:
        """The linearization at the images ``x`` (B, *shape_in); a linear operator returns itself."""
        del x
        return self

    def blank(self, y: Tensor) -> Tensor:
        """An image of zeros (1, *shape_in), of the dtype and on the device of images whose data are like ``y``."""
        return torch.zeros_like(self.H(y[:1])[:1])

    @property
    def H(self) -> Operator:
        """The adjoint: ``Re <A x, y> = Re <x, A.H y>``."""
        return Adjoint(self)

    def support(self, data: Tensor | None = None) -> Tensor | None:
        """The pixels that the image has, True: (*shape_in); None for all.

        Coil maps are zero where there is no object.  No datum depends on such pixels, and the image is 0 there.

        Args:
            data: the support of this operator's data, where it is followed by another operator.
        """
        del data
        return None

    def gram(self, x: Tensor) -> Tensor:
        """``A^H A x``."""
        return self._adjoint(self(x))

    def weighted_gram(self, noise: Gaussian, x: Tensor) -> Tensor:
        """``A^H R^-1 A x`` of images x (B, *shape_in).

        An operator that multiplies by it faster (a convolution, say) overrides this method.
        """
        return self._adjoint(noise.solve(self(x)))

    def side(self, default: Side) -> Side:
        """The space in which the innovation of ``default.operator`` is solved, of which this operator is a part.

        An operator with more samples than pixels returns ``ImageSide(default.operator, default.noise)``; any other
        returns what it was given.  The algebra asks all of its parts.
        """
        return default

    def gram_solve(self, noise: Gaussian, spread: Spread, v: Tensor) -> Tensor:
        """``(R + A V A^H)^-1 v``, the innovation's covariance solved for data ``v`` (B, *shape_out).

        Closed form where the class knows ``A A^H``, V is isotropic and the noise independent; otherwise conjugate
        gradients on data in units of their noise, with a warning where these have not converged.
        """
        solution = self._solve_closed(noise, spread, v)
        return noise.whiten(DataSide(self, noise).solve_well(spread, noise.whiten(v))) if solution is None else solution

    def innovation(self, noise: Gaussian, spread: Spread, residual: Tensor) -> Tensor:
        """``A^H (R + A V A^H)^-1 r`` of residuals r (B, *shape_out).

        Closed form as in :meth:`gram_solve`; otherwise conjugate gradients on the :meth:`side` that the operator chose.
        """
        solution = self._solve_closed(noise, spread, residual)
        if solution is not None:
            return self.H(solution)
        return self.side(DataSide(self, noise)).innovation(spread, residual)

    def _solve_closed(self, noise: Gaussian, spread: Spread, v: Tensor) -> Tensor | None:
        if not isinstance(spread, Isotropic) or noise.variance is None:
            return None
        variance = per_image(spread.variance, v)
        return self._solve_shifted(noise.variance.to(v.real.dtype).to(v.device), variance, v)

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor | None:
        """``(noise I + spread A A^H)^-1 v`` in closed form, or None; both broadcast against v."""
        del noise, spread, v
        return None

    def __matmul__(self, other: Operator) -> Operator:
        return Product(self, other)

    def __add__(self, other: Operator) -> Operator:
        return Sum(self, other)

    def __mul__(self, factor: complex) -> Operator:
        return Multiple(self, factor)

    __rmul__ = __mul__

    def __str__(self) -> str:
        return type(self).__name__


def _spell(shape: Shape) -> str:
    return ", ".join(map(str, shape))


class Adjoint(Operator):
    """``A.H`` as an operator."""

    def __init__(self, operator: Operator):
        super().__init__(operator.shape_out, operator.shape_in)
        self.operator = operator

    def _apply(self, x: Tensor) -> Tensor:
        return self.operator._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator._apply(y)

    @property
    def H(self) -> Operator:
        return self.operator

    def __str__(self) -> str:
        return f"{self.operator}.H"


class Product(Operator):
    """``outer @ inner``: first ``inner``, then ``outer``.

    Raises:
        InputError: the shapes do not meet.
    """

    def __init__(self, outer: Operator, inner: Operator):
        if outer.shape_in != inner.shape_out:
            raise InputError(f"Cannot compose {outer} @ {inner}: {outer.shape_in} does not meet {inner.shape_out}.")
        super().__init__(inner.shape_in, outer.shape_out)
        self.outer, self.inner = outer, inner

    def _apply(self, x: Tensor) -> Tensor:
        return self.outer._apply(self.inner._apply(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.inner._adjoint(self.outer._adjoint(y))

    def weighted_gram(self, noise: Gaussian, x: Tensor) -> Tensor:
        return self.inner._adjoint(self.outer.weighted_gram(noise, self.inner._apply(x)))

    def side(self, default: Side) -> Side:
        return self.inner.side(self.outer.side(default))

    def support(self, data: Tensor | None = None) -> Tensor | None:
        return self.inner.support(self.outer.support(data))

    @property
    def linear(self) -> bool:
        return self.outer.linear and self.inner.linear

    def at(self, x: Tensor) -> Operator:
        return self if self.linear else Product(self.outer.at(self.inner(x)), self.inner.at(x))

    def blank(self, y: Tensor) -> Tensor:
        return self.inner.blank(self.outer.blank(y))

    def __str__(self) -> str:
        return f"{self.outer} @ {self.inner}"


class Sum(Operator):
    """``left + right`` on the same shapes.

    Raises:
        InputError: the shapes differ.
    """

    def __init__(self, left: Operator, right: Operator):
        if (left.shape_in, left.shape_out) != (right.shape_in, right.shape_out):
            raise InputError(f"Cannot add {left} and {right}: their shapes differ.")
        super().__init__(left.shape_in, left.shape_out)
        self.left, self.right = left, right

    def _apply(self, x: Tensor) -> Tensor:
        return self.left._apply(x) + self.right._apply(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.left._adjoint(y) + self.right._adjoint(y)

    def side(self, default: Side) -> Side:
        return self.right.side(self.left.side(default))

    @property
    def linear(self) -> bool:
        return self.left.linear and self.right.linear

    def at(self, x: Tensor) -> Operator:
        return self if self.linear else Sum(self.left.at(x), self.right.at(x))

    def blank(self, y: Tensor) -> Tensor:
        return self.left.blank(y) + self.right.blank(y)

    def __str__(self) -> str:
        return f"({self.left} + {self.right})"


class Multiple(Operator):
    """``factor * operator``."""

    def __init__(self, operator: Operator, factor: complex):
        super().__init__(operator.shape_in, operator.shape_out)
        self.operator, self.factor = operator, factor

    def _apply(self, x: Tensor) -> Tensor:
        return self.factor * self.operator._apply(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        # the factor first: the adjoint of an operator on real images takes the real part
        return self.operator._adjoint(self.factor.conjugate() * y)

    def weighted_gram(self, noise: Gaussian, x: Tensor) -> Tensor:
        return abs(self.factor) ** 2 * self.operator.weighted_gram(noise, x)

    def side(self, default: Side) -> Side:
        return self.operator.side(default)

    def support(self, data: Tensor | None = None) -> Tensor | None:
        return self.operator.support(data)

    @property
    def linear(self) -> bool:
        return self.operator.linear

    def at(self, x: Tensor) -> Operator:
        return self if self.linear else Multiple(self.operator.at(x), self.factor)

    def blank(self, y: Tensor) -> Tensor:
        return self.operator.blank(y)

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor | None:
        size = abs(self.factor)
        phase = self.factor / size if size else 1.0  # a unit factor turns data and noise alike
        solution = self.operator._solve_shifted(noise, spread * size**2, phase.conjugate() * v)
        return None if solution is None else phase * solution

    def __str__(self) -> str:
        return f"{self.factor:g} {self.operator}"
