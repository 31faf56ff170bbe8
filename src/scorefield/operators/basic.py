r"""Operators that need no geometry: identity, matrix, masks, selection, and the step from real to complex.

For each of them :math:`A A^H` is known, so :math:`(R + v A A^H)^{-1}` has a closed form.  With :math:`A A^H =
\mathrm{diag}(w^2)` it is a division; a dense matrix takes one eigendecomposition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import cast
from scorefield.operators.linear import Operator, Shape


def image_shape(shape: Sequence[int], *, spatial: int = 0) -> Shape:
    """``shape`` as a tuple of positive integers: channels first, then at least ``spatial`` axes.

    Raises:
        InputError: a size that is not a positive integer, or too few axes.
    """
    sizes = tuple(shape)
    if len(sizes) < 1 + spatial:
        raise InputError(f"The shape {sizes} has {len(sizes)} axes; give (channels, *spatial), as in (1, 256, 256).")
    if not all(isinstance(n, Integral) and n >= 1 for n in sizes):
        raise InputError(f"The shape {sizes} must hold positive integers only; give the size of one image.")
    return tuple(int(n) for n in sizes)


def finite(values: Tensor, name: str) -> Tensor:
    """Return ``values`` unchanged, after a check.

    Raises:
        InputError: not floating or complex, or NaN or infinite somewhere.
    """
    if not (values.is_floating_point() or values.is_complex()):
        raise InputError(f"The {name} have dtype {values.dtype}; convert them to a floating or complex dtype first.")
    if not bool(values.isfinite().all()):
        bad = int((~values.isfinite()).sum())
        raise InputError(f"The {name} hold {bad} values that are NaN or infinite; repair them first.")
    return values


class Identity(Operator):
    """The image itself is measured: ``A x = x``.

    Args:
        shape: shape of one image, without the batch.
    """

    def __init__(self, shape: Shape):
        self.shape = image_shape(shape)
        super().__init__(self.shape, self.shape)

    def _apply(self, x: Tensor) -> Tensor:
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor:
        return v / (noise + spread)


class Matrix(Operator):
    """A dense matrix on vectors: events are (d,), data (m,).  A complex matrix acts on complex vectors.

    Args:
        A: matrix (m, d), real or complex.

    Raises:
        InputError: A is not two-dimensional, not floating or complex, or not finite.
    """

    def __init__(self, A: Tensor):
        A = finite(torch.as_tensor(A), "entries of the matrix")
        if A.ndim != 2 or A.numel() == 0:
            raise InputError(f"A matrix operator needs A of shape (m, d) with m, d >= 1, got {tuple(A.shape)}.")
        super().__init__((A.shape[1],), (A.shape[0],))
        self.A = A
        self._eigen: tuple[Tensor, Tensor] | None = None

    def _apply(self, x: Tensor) -> Tensor:
        return _rows(x, cast(self.A, x).mT)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _rows(y, cast(self.A, y).conj())

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor | None:
        if noise.numel() != 1:
            return None  # R and A A^H have no common eigenvectors
        if self._eigen is None:
            A = self.A.to(torch.promote_types(self.A.dtype, torch.float64))
            values, vectors = torch.linalg.eigh(A @ A.mH)
            self._eigen = values.clamp(min=0), vectors
        values, vectors = (cast(part, v) for part in self._eigen)
        return _rows(_rows(v, vectors.conj()) / (noise + spread * values), vectors.mT)


def _rows(x: Tensor, matrix: Tensor) -> Tensor:
    """``x @ matrix`` for x and matrix real or complex in any pairing."""
    dtype = torch.promote_types(x.dtype, matrix.dtype)
    return x.to(dtype) @ matrix.to(dtype)


class Mask(Operator):
    """Elementwise weights, ``A x = w x``; the data keep the image's shape.

    With 0/1 weights and white noise the masked entries hold noise alone.  Where they were never measured, use
    :class:`Sample`, which drops them.

    Args:
        mask: real weights, broadcastable to ``shape``.
        shape: shape of one image, without the batch.

    Raises:
        InputError: weights that are complex, not finite, or do not broadcast to ``shape``.
    """

    def __init__(self, mask: Tensor, shape: Shape):
        self.mask, self.shape = torch.as_tensor(mask), image_shape(shape)
        if self.mask.is_complex():
            raise InputError("A mask needs real weights, got complex ones; complex weights are Coils of one coil.")
        weights = self.mask if self.mask.is_floating_point() else self.mask.to(torch.float32)
        self._weights = finite(_broadcast(weights, self.shape), "weights of the mask")
        super().__init__(self.shape, self.shape)

    def _apply(self, x: Tensor) -> Tensor:
        return cast(self._weights, x) * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return cast(self._weights, y) * y

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor:
        return v / (noise + spread * cast(self._weights, v).square())


class Sample(Operator):
    """Selected entries of an image: A gathers them, the adjoint puts zeros around them, ``A A^H = I``.

    Every number of the data is a measurement, so noise, likelihood and residual chi-square count what was
    measured and nothing else.  Data stored with zeros elsewhere become a measurement by ``Sample(mask,
    shape)(stored)``, and ``Sample(mask, shape).H(data)`` stores them again.

    Args:
        mask: True (or 1) where measured.  Shaped (*spatial) or (1, *spatial), it is shared by the channels
            and the data are (channels, m); shaped like the image, with its own entries in each channel, they
            are (m,).
        shape: shape of one image, without the batch.

    Raises:
        InputError: entries other than 0 and 1, none selected, or a mask that does not broadcast to ``shape``.
    """

    def __init__(self, mask: Tensor, shape: Shape):
        self.mask, self.shape = torch.as_tensor(mask), image_shape(shape)
        if not bool(((self.mask == 0) | (self.mask == 1)).all()):
            raise InputError("A sampling mask holds 0 and 1 (or booleans) only; weights belong in Mask.")
        selected = _broadcast(self.mask != 0, self.shape)
        shared = len(self.shape) > 1 and (self.mask.ndim < len(self.shape) or self.mask.shape[0] == 1)
        self._channels = self.shape[:1] if shared else ()
        self._index = (selected[0] if shared else selected).flatten().nonzero().squeeze(1)
        if len(self._index) == 0:
            raise InputError("The sampling mask selects no entry; nothing would be measured.")
        super().__init__(self.shape, (*self._channels, len(self._index)))

    def _apply(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self._channels, -1)[..., self._index]

    def _adjoint(self, y: Tensor) -> Tensor:
        size = math.prod(self.shape[len(self._channels) :])
        filled = y.new_zeros(len(y), *self._channels, size).index_copy(-1, self._index, y)
        return filled.reshape(len(y), *self.shape)

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor:
        return v / (noise + spread)


def _broadcast(mask: Tensor, shape: Shape) -> Tensor:
    sizes = tuple(mask.shape)
    if len(sizes) > len(shape) or any(m not in (1, n) for m, n in zip(sizes[::-1], shape[::-1], strict=False)):
        raise InputError(f"The mask has shape {sizes}, which does not broadcast to {shape}; give one value per entry.")
    return mask.expand(shape)


class RealToComplex(Operator):
    r"""Real images as complex ones with zero imaginary part; the adjoint takes the real part.

    :math:`A^H A = I`, but :math:`A A^H = \mathrm{Re}`: the imaginary part of complex data holds noise alone,
    so :math:`(R + v A A^H)^{-1}` divides the real part by R + v and the imaginary part by R.

    ``mri(mask, coils) @ RealToComplex(shape)`` is MRI of a real image.

    Args:
        shape: shape of one image, without the batch.
    """

    def __init__(self, shape: Shape):
        self.shape = image_shape(shape)
        super().__init__(self.shape, self.shape)

    def _apply(self, x: Tensor) -> Tensor:
        if x.is_complex():
            raise InputError("RealToComplex maps real images, got complex ones; leave it out of the product.")
        return torch.complex(x, torch.zeros_like(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return y.real

    def support(self, data: Tensor | None = None) -> Tensor | None:
        return data

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor:
        if not v.is_complex():
            return v / (noise + spread)
        return torch.complex(v.real / (noise + spread), v.imag / noise)
