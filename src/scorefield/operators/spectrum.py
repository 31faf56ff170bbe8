r"""Singular values and directions of an operator: :math:`B = W\,\mathrm{diag}(d)\,V^T`.

Spectral methods treat every singular direction by its own signal-to-noise ratio: d, where B is the operator of a
whitened scan (``measurement.whitened``), whose noise is white and of level 1.  In the coordinates
:math:`\bar x = V^T x` the data are the image itself, :math:`\bar y_i = \bar x_i + z_i / d_i`.  Inner products are real:
a complex number counts as two.  The directions are known for three kinds of operator:

- those with diagonal :math:`B B^H` (masks, masked Fourier samples of one coil, block averages): its diagonal is
  :math:`B B^H 1`, and one product with random data shows whether the rest is zero.  Then W = I and
  :math:`V = B^H \mathrm{diag}(1/d)`;
- those whose :math:`B^H B` is block diagonal along one axis of the image.  This holds for Cartesian scans with any
  number of coils, along every axis that is fully sampled: :math:`F^H M F` is the identity there, and coil maps act
  pixel by pixel.  The number of products is the size of a block, as one product measures a column of every block; a
  product with a random image checks the result.  The blocks' eigendecompositions give V, and :math:`d W^T = V^T B^H`;
- those with few data, at most :data:`LARGEST` numbers, by an eigendecomposition of :math:`B B^H`, which gives W,
  and those with few pixels, whose :math:`B^H B` is a single block.

References:
    Kawar, Vaksman, Elad, NeurIPS 2021, arXiv 2105.14951 (SNIPS), the source of the formulas of DDRM and DDNM+.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import as_rows, from_rows
from scorefield.operators.linear import Operator
from scorefield.portable import Portable
from scorefield.randomness import normal_like

LARGEST = 2048  # real numbers; an eigendecomposition of this size takes seconds
ENTRIES = 2**27  # of all blocks together: a gigabyte of float64
CHUNK = 64  # unit data or images sent through the operator together
ROUNDING = 1e-6  # what is smaller, relative to the largest, is 0


class SingularDirections(Protocol):
    """Singular directions V of an operator B.

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

    def pull(self, data: Tensor) -> Tensor:
        """``V^T B^H r = d W^T r`` (B, k) of data r (B, *data)."""
        ...


@dataclass(frozen=True)
class Trial(Portable):
    """An operator, and one product by it that shows its kind.

    Attributes:
        operator: B.
        data: random data (1, *shape), in double precision.
        image: ``B^H data``, an example of the operator's images.
    """

    operator: Operator
    data: Tensor
    image: Tensor

    @classmethod
    def of(cls, operator: Operator, like: Tensor) -> Trial:
        """A trial with data shaped like ``like`` (1, *shape), real or complex."""
        double = like.to(torch.complex128 if like.is_complex() else torch.float64)
        data = normal_like(double, torch.Generator(like.device).manual_seed(0))
        return cls(operator, data, operator.H(data))

    def gram(self, images: Tensor) -> Tensor:
        """``B^H B`` of images."""
        return self.operator.H(self.operator(images))


class InData(Portable):
    """Directions ``B^H W / d``.

    Args:
        basis: W (m, m); None is the identity.
    """

    def __init__(self, trial: Trial, squares: Tensor, basis: Tensor | None):
        self.trial, self.squares, self.basis = trial, squares, basis
        self.inverse = _inverse(squares.clamp(min=0).sqrt())

    def coordinates(self, x: Tensor) -> Tensor:
        rows = as_rows(self.trial.operator(x))
        return (rows if self.basis is None else rows @ self.basis.to(rows)) * self.inverse.to(rows)

    def compose(self, rows: Tensor) -> Tensor:
        rows = rows * self.inverse.to(rows)
        data = rows if self.basis is None else rows @ self.basis.to(rows).T
        return self.trial.operator.H(from_rows(data, self.trial.data))

    def pull(self, data: Tensor) -> Tensor:
        rows = as_rows(data)
        d = self.squares.clamp(min=0).sqrt().to(rows)
        return (rows if self.basis is None else rows @ self.basis.to(rows)) * d


class InBlocks(Portable):
    """Directions of the blocks of ``B^H B`` along one axis of the image.

    Args:
        axis: of the batch of images; None if all of the image is one block.
        basis: V of each block (blocks, size, size).
    """

    def __init__(self, trial: Trial, axis: int | None, squares: Tensor, basis: Tensor):
        self.trial, self.axis, self.squares, self.basis = trial, axis, squares, basis

    def coordinates(self, x: Tensor) -> Tensor:
        rows = _by_place(x, self.axis)
        return torch.einsum("bls,lsk->blk", rows, self.basis.to(rows)).flatten(1)

    def compose(self, rows: Tensor) -> Tensor:
        parts = rows.reshape(len(rows), *self.basis.shape[:2])
        return _from_places(torch.einsum("blk,lsk->bls", parts, self.basis.to(rows)), self.axis, self.trial.image)

    def pull(self, data: Tensor) -> Tensor:
        return self.coordinates(self.trial.operator.H(data))


def diagonal(trial: Trial) -> SingularDirections | None:
    """The directions if ``B B^H`` is diagonal."""
    operator, data = trial.operator, trial.data
    squares = as_rows(operator(operator.H(from_rows(torch.ones_like(as_rows(data)), data))))
    found = as_rows(operator(trial.image))
    rest = (found - squares * as_rows(data)).abs().max()
    return InData(trial, squares, None) if bool(rest <= ROUNDING * found.abs().max()) else None


def along_an_axis(trial: Trial) -> SingularDirections | None:
    """The directions if ``B^H B`` is block diagonal along an axis of the image."""
    shape = trial.image.shape
    return _blocks(trial, [axis for axis in range(1, len(shape)) if shape[axis] > 1])


def few_data(trial: Trial) -> SingularDirections | None:
    """The directions of all of ``B B^H``, if it is small."""
    data = trial.data
    size = as_rows(data).shape[1]
    if size > LARGEST:
        return None
    units = torch.eye(size, dtype=data.real.dtype, device=data.device).split(CHUNK)
    operator = trial.operator
    gram = torch.cat([as_rows(operator(operator.H(from_rows(rows, data)))) for rows in units])
    values, basis = torch.linalg.eigh((gram + gram.T) / 2)
    return InData(trial, values.unsqueeze(0), basis)


def few_pixels(trial: Trial) -> SingularDirections | None:
    """The directions of all of ``B^H B``, if it is small."""
    return _blocks(trial, [None])


Way = Callable[[Trial], SingularDirections | None]
WAYS: tuple[Way, ...] = (diagonal, along_an_axis, few_data, few_pixels)


class Spectrum(Portable):
    """Singular values of an operator and the directions that belong to them.

    Args:
        operator: B; the operator of a whitened scan, so that d is a signal-to-noise ratio.
        like: any data (1, *shape) of the kind that the operator gives, real or complex.
        ways: functions that look for the directions, in this order; the first result counts.

    Attributes:
        directions: V.
        d: singular values (1, k), float64; the others are 0.

    Raises:
        InputError: the operator is of none of the three kinds, or has more than :data:`LARGEST` numbers of data.
    """

    def __init__(self, operator: Operator, like: Tensor, *, ways: Sequence[Way] = WAYS):
        trial = Trial.of(operator, like)
        found = next((found for way in ways if (found := way(trial)) is not None), None)
        if found is None:
            raise InputError(
                f"The singular values of {operator} are unknown and its {as_rows(trial.data).shape[1]} numbers of data"
                f" are too many (over {LARGEST}) to compute them; use DiffPIR, or DDNM if the data have little noise."
            )
        self.directions = found
        d = found.squares.clamp(min=0).sqrt()
        self.d = torch.where(d > ROUNDING * d.max(), d, 0)

    def coordinates(self, x: Tensor) -> Tensor:
        """``V^T x`` (B, k) of images x (B, *shape), in their precision; 0 where nothing is measured."""
        return torch.where(self.d > 0, self.directions.coordinates(x), 0)

    def compose(self, rows: Tensor) -> Tensor:
        """``V c``, images, of rows c (B, k); unmeasured directions count as 0."""
        return self.directions.compose(torch.where(self.d > 0, rows, 0))

    def from_data(self, y: Tensor) -> Tensor:
        r""":math:`\bar y` (B, k) of data y (B, *data), the image's coordinates plus noise 1/d; 0 if unmeasured."""
        rows = self.directions.pull(y)
        return torch.where(self.d > 0, rows * _inverse(self.d).square().to(rows), 0)


def _blocks(trial: Trial, axes: Sequence[int | None]) -> SingularDirections | None:
    """The directions along the first of the axes that allows them; the axis None leaves the image in one block."""
    image, probe = trial.image, normal_like(trial.image, torch.Generator(trial.data.device).manual_seed(1))
    goal = trial.gram(probe)
    for axis in axes:
        cut = _by_place(probe, axis)
        length, size = cut.shape[1:]
        if size > LARGEST or length * size**2 > ENTRIES or not _keeps_apart(trial, probe, axis):
            continue
        units = torch.eye(size, dtype=cut.dtype, device=cut.device).split(CHUNK)
        images = (_from_places(unit.unsqueeze(1).expand(-1, length, -1), axis, image) for unit in units)
        gram = torch.cat([_by_place(trial.gram(x), axis) for x in images]).movedim(0, 2)  # (length, size, size)
        found = _from_places(torch.einsum("bls,lks->blk", cut, gram), axis, image)
        if bool((found - goal).abs().max() <= ROUNDING * goal.abs().max()):
            values, basis = torch.linalg.eigh((gram + gram.mT) / 2)
            return InBlocks(trial, axis, values.reshape(1, -1), basis)
    return None


def _keeps_apart(trial: Trial, probe: Tensor, axis: int | None) -> bool:
    """Whether ``B^H B`` couples no two places of the axis: an image at one place of it stays at that place."""
    if axis is None:
        return True
    first = torch.zeros_like(probe)
    first.select(axis, 0).copy_(probe.select(axis, 0))
    after = trial.gram(first)
    largest, elsewhere = after.abs().max(), after.narrow(axis, 1, after.shape[axis] - 1)
    return bool(elsewhere.abs().max() <= ROUNDING * largest)


def _inverse(d: Tensor) -> Tensor:
    """``1 / d``, and 0 in the null space."""
    measured = d > ROUNDING * d.max()
    return torch.where(measured, 1 / torch.where(measured, d, 1), 0)


def _by_place(x: Tensor, axis: int | None) -> Tensor:
    """Images as real vectors (B, length, size), one for each place of an axis; (B, 1, size) without one."""
    if axis is None:
        return as_rows(x).unsqueeze(1)
    return as_rows(x.movedim(axis, 1)).reshape(len(x), x.shape[axis], -1)


def _from_places(parts: Tensor, axis: int | None, like: Tensor) -> Tensor:
    """Images (B, *shape) of what :func:`_by_place` made."""
    if axis is None:
        return from_rows(parts.flatten(1), like)
    return from_rows(parts.flatten(1), like.movedim(axis, 1)).movedim(1, axis)
