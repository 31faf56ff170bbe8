r"""The whitened operator's singular values and directions: :math:`B = R^{-1/2} A = W\,\mathrm{diag}(d)\,V^T`.

Spectral methods treat every singular direction by its own signal-to-noise ratio d.  In the coordinates
:math:`\bar x = V^T x` the data are the image itself, :math:`\bar y_i = \bar x_i + z_i / d_i`.  Inner products are real:
a complex number counts as two.  The directions are known for three kinds of operator:

- those with diagonal :math:`B B^H` (masks, masked Fourier samples of one coil, block averages): its diagonal is
  :math:`B B^H 1`, and one product with random data tells whether that is all of it.  Then W = I and
  :math:`V = B^H \mathrm{diag}(1/d)`;
- those whose :math:`B^H B` is block diagonal along one axis of the image.  Cartesian scans with any number of coils
  are, along every axis that is fully sampled: :math:`F^H M F` is the identity there, and coil maps act pixel by pixel.
  The blocks are found in as many products as a block is large, all of them at once, and again checked by a random
  one.  V is that of the blocks' eigendecompositions, and :math:`d W^T = V^T B^H`;
- those with few data, at most :data:`LARGEST` numbers, by an eigendecomposition of :math:`B B^H`, which has W, or of
  few pixels, which are a single block.

References:
    Kawar, Vaksman, Elad, NeurIPS 2021, arXiv 2105.14951 (SNIPS), from where DDRM's and DDNM+'s formulas come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import as_rows
from scorefield.measurement import Measurement
from scorefield.portable import Portable
from scorefield.randomness import normal_like

LARGEST = 2048  # real numbers; an eigendecomposition of this size takes seconds
ENTRIES = 2**27  # of all blocks together: a gigabyte of float64
CHUNK = 64  # unit data or images sent through the operator together
ROUNDING = 1e-6  # what is smaller, relative to the largest, is 0


class Directions(Protocol):
    """Singular directions V, one way to have them.

    Attributes:
        squares: squared singular values (1, k), one for each direction; 0 where nothing is measured.
    """

    squares: Tensor

    def coordinates(self, x: Tensor) -> Tensor:
        """``V^T x`` (B, k) of images x (B, *shape)."""
        ...

    def compose(self, rows: Tensor) -> Tensor:
        """``V c``, images, of rows c (B, k)."""
        ...

    def pulled(self, whitened: Tensor) -> Tensor:
        """``V^T B^H r = d W^T r`` (B, k) of whitened data r (B, *data)."""
        ...


class Spectrum(Portable):
    """Singular values of ``R^-1/2 A`` and the directions that belong to them, for one measurement.

    Args:
        measurement: operator and noise; the data themselves are not used, only their size and kind.

    Attributes:
        d: singular values (1, k), float64; the others are 0.

    Raises:
        InputError: none of the three kinds of operator, and the data are more than :data:`LARGEST` numbers.
    """

    def __init__(self, measurement: Measurement):
        self.whitened = _Whitened(measurement)
        self.directions = _directions(self.whitened)
        self.d = self.directions.squares.clamp(min=0).sqrt()
        self.d = torch.where(self.d > ROUNDING * self.d.max(), self.d, 0)

    def whiten(self, y: Tensor) -> Tensor:
        """``R^-1/2 y`` in the precision of y."""
        return self.whitened.whiten(y)

    def coordinates(self, x: Tensor) -> Tensor:
        """``V^T x`` (B, k) of images x (B, *shape), in their precision; 0 where nothing is measured."""
        return torch.where(self.d > 0, self.directions.coordinates(x), 0)

    def compose(self, rows: Tensor) -> Tensor:
        """``V c``, images, of rows c (B, k), those of unmeasured directions taken as 0."""
        return self.directions.compose(torch.where(self.d > 0, rows, 0))

    def observed(self, y: Tensor) -> Tensor:
        r""":math:`\bar y` (B, k) of data y (B, *data), the image's coordinates plus noise 1/d; 0 if unmeasured."""
        pulled = self.directions.pulled(self.whiten(y))
        return torch.where(self.d > 0, pulled * _over(self.d).square().to(pulled), 0)


class _Whitened(Portable):
    """``B = R^-1/2 A``."""

    def __init__(self, measurement: Measurement):
        self.operator, self.variance = measurement.operator, measurement.noise.variance
        self.y = measurement.y.to(torch.complex128 if measurement.y.is_complex() else torch.float64)
        self.probe = normal_like(self.y, torch.Generator(self.y.device).manual_seed(0))
        self.image = self.H(self.probe)  # what images look like

    def __call__(self, x: Tensor) -> Tensor:
        return self.whiten(self.operator(x))

    def H(self, whitened: Tensor) -> Tensor:
        return self.operator.H(self.whiten(whitened))

    def whiten(self, y: Tensor) -> Tensor:
        return y / self.variance.to(y.real.dtype).to(y.device).sqrt()


class _InData(Portable):
    """Directions ``B^H W / d``.

    Args:
        basis: W (m, m); None is the identity.
    """

    def __init__(self, whitened: _Whitened, squares: Tensor, basis: Tensor | None):
        self.whitened, self.squares, self.basis = whitened, squares, basis
        self.inverse = _over(squares.clamp(min=0).sqrt())

    def coordinates(self, x: Tensor) -> Tensor:
        rows = as_rows(self.whitened(x))
        return (rows if self.basis is None else rows @ self.basis.to(rows)) * self.inverse.to(rows)

    def compose(self, rows: Tensor) -> Tensor:
        rows = rows * self.inverse.to(rows)
        return self.whitened.H(_shaped(rows if self.basis is None else rows @ self.basis.to(rows).T, self.whitened.y))

    def pulled(self, whitened: Tensor) -> Tensor:
        rows = as_rows(whitened)
        d = self.squares.clamp(min=0).sqrt().to(rows)
        return (rows if self.basis is None else rows @ self.basis.to(rows)) * d


class _InBlocks(Portable):
    """Directions of the blocks of ``B^H B`` along one axis of the image.

    Args:
        axis: of the batch of images; None if all of the image is one block.
        basis: V of each block (blocks, size, size).
    """

    def __init__(self, whitened: _Whitened, axis: int | None, squares: Tensor, basis: Tensor):
        self.whitened, self.axis, self.squares, self.basis = whitened, axis, squares, basis

    def coordinates(self, x: Tensor) -> Tensor:
        rows = _cut(x, self.axis)
        return torch.einsum("bls,lsk->blk", rows, self.basis.to(rows)).flatten(1)

    def compose(self, rows: Tensor) -> Tensor:
        parts = rows.reshape(len(rows), *self.basis.shape[:2])
        return _joined(torch.einsum("blk,lsk->bls", parts, self.basis.to(rows)), self.axis, self.whitened.image)

    def pulled(self, whitened: Tensor) -> Tensor:
        return self.coordinates(self.whitened.H(whitened))


def _diagonal(whitened: _Whitened) -> Directions | None:
    y = whitened.y
    squares = as_rows(whitened(whitened.H(_shaped(torch.ones_like(as_rows(y)), y))))
    found = as_rows(whitened(whitened.image))
    rest = (found - squares * as_rows(whitened.probe)).abs().max()
    return _InData(whitened, squares, None) if bool(rest <= ROUNDING * found.abs().max()) else None


def _directions(whitened: _Whitened) -> Directions:
    image, size = whitened.image, as_rows(whitened.y).shape[1]
    axes = range(1, image.ndim)
    found = _diagonal(whitened) or _blocks(whitened, [axis for axis in axes if image.shape[axis] > 1])
    if found is None and size <= LARGEST:
        found = _dense(whitened)
    found = found or _blocks(whitened, [None])
    if found is None:
        raise InputError(
            f"The singular values of {whitened.operator} are unknown and its {size} numbers of data are"
            f" too many (over {LARGEST}) to compute them; use DiffPIR, or DDNM if the data have little noise."
        )
    return found


def _blocks(whitened: _Whitened, axes: Sequence[int | None]) -> Directions | None:
    """Along the first of the axes that allows it; None leaves the image in one block."""
    image, probe = whitened.image, normal_like(whitened.image, torch.Generator(whitened.y.device).manual_seed(1))
    goal = whitened.H(whitened(probe))
    for axis in axes:
        cut = _cut(probe, axis)
        length, size = cut.shape[1:]
        if size > LARGEST or length * size**2 > ENTRIES or not _parted(whitened, probe, axis):
            continue
        units = torch.eye(size, dtype=cut.dtype, device=cut.device).split(CHUNK)
        images = (_joined(unit.unsqueeze(1).expand(-1, length, -1), axis, image) for unit in units)
        gram = torch.cat([_cut(whitened.H(whitened(x)), axis) for x in images]).movedim(0, 2)  # (length, size, size)
        found = _joined(torch.einsum("bls,lks->blk", cut, gram), axis, image)
        if bool((found - goal).abs().max() <= ROUNDING * goal.abs().max()):
            values, basis = torch.linalg.eigh((gram + gram.mT) / 2)
            return _InBlocks(whitened, axis, values.reshape(1, -1), basis)
    return None


def _parted(whitened: _Whitened, probe: Tensor, axis: int | None) -> bool:
    """Does ``B^H B`` keep an image that is 0 but at one place of the axis 0 elsewhere?"""
    if axis is None:
        return True
    first = torch.zeros_like(probe)
    first.select(axis, 0).copy_(probe.select(axis, 0))
    after = whitened.H(whitened(first))
    largest, elsewhere = after.abs().max(), after.narrow(axis, 1, after.shape[axis] - 1)
    return bool(elsewhere.abs().max() <= ROUNDING * largest)


def _dense(whitened: _Whitened) -> Directions:
    y = whitened.y
    units = torch.eye(as_rows(y).shape[1], dtype=y.real.dtype, device=y.device).split(CHUNK)
    gram = torch.cat([as_rows(whitened(whitened.H(_shaped(rows, y)))) for rows in units])
    values, basis = torch.linalg.eigh((gram + gram.T) / 2)
    return _InData(whitened, values.unsqueeze(0), basis)


def _over(d: Tensor) -> Tensor:
    """``1 / d``, and 0 in the null space."""
    seen = d > ROUNDING * d.max()
    return torch.where(seen, 1 / torch.where(seen, d, 1), 0)


def _shaped(rows: Tensor, like: Tensor) -> Tensor:
    """Real vectors (B, m) as data or images shaped like ``like``."""
    shape = (len(rows), *like.shape[1:])
    return torch.view_as_complex(rows.reshape(*shape, 2)) if like.is_complex() else rows.reshape(shape)


def _cut(x: Tensor, axis: int | None) -> Tensor:
    """Images as real vectors (B, length, size), one for each place of an axis; (B, 1, size) without one."""
    if axis is None:
        return as_rows(x).unsqueeze(1)
    return as_rows(x.movedim(axis, 1)).reshape(len(x), x.shape[axis], -1)


def _joined(parts: Tensor, axis: int | None, like: Tensor) -> Tensor:
    """Images (B, *shape) of what :func:`_cut` made."""
    if axis is None:
        return _shaped(parts.flatten(1), like)
    return _shaped(parts.flatten(1), like.movedim(axis, 1)).movedim(1, axis)
