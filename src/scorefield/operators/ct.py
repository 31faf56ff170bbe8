r"""X-ray computed tomography: line integrals of an attenuation image, as one stored sparse matrix.

Attenuation is in 1/mm and lengths in mm, so sinograms have no unit; :mod:`~scorefield.operators.ct_geometry`
says where the rays run.

Joseph's method: a ray steps over the pixel lines of its dominant axis, interpolates linearly between the two
pixels it passes, and weighs them with its length between two lines.  A detector bin wider than a pixel
averages several rays.  The matrix and its transpose are both stored, in compressed rows: the adjoint is then as
fast as the projection and exact to rounding, and each is the gradient of the other.

References:
    Joseph, "An improved algorithm for reprojecting rays through pixel images", IEEE Trans. Med. Imaging 1982.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.machine import free_bytes
from scorefield.operators.ct_geometry import FanBeam, Geometry, Pair, ParallelBeam
from scorefield.operators.linear import Operator
from scorefield.portable import Portable


def _joseph(geometry: Geometry, points: np.ndarray, directions: np.ndarray) -> Any:
    """Rows of the system matrix (rays, H W) for the given rays (x, y), a scipy sparse array in mm."""
    from scipy import sparse

    sizes, strides = np.array(geometry.shape[-2:]), np.array([geometry.shape[-1], 1])
    # mm, y upward, to pixels (row, column); a ray steps along its dominant axis and interpolates across it
    point = np.stack([-points[:, 1], points[:, 0]]) / geometry.pixel_spacing + np.array(geometry.middle)[:, None]
    slope = np.stack([-directions[:, 1], directions[:, 0]])
    ray = np.arange(len(points))
    axis = (np.abs(slope[0]) < np.abs(slope[1])).astype(int)
    ratio = (slope[1 - axis, ray] / slope[axis, ray])[:, None]
    line = np.arange(sizes.max())
    crossing = point[1 - axis, ray][:, None] + (line - point[axis, ray][:, None]) * ratio
    lower = np.floor(crossing)
    length = geometry.pixel_spacing * np.hypot(1, ratio)
    index = np.stack([lower, lower + 1], -1).astype(np.int64)
    weight = np.stack([lower + 1 - crossing, crossing - lower], -1) * length[..., None]
    pixel = (strides[axis][:, None] * line)[..., None] + strides[1 - axis][:, None, None] * index
    inside = (line < sizes[axis][:, None])[..., None] & (index >= 0) & (index < sizes[1 - axis][:, None, None])
    starts = np.concatenate([[0], np.cumsum(inside.sum((1, 2)))])
    # weights of 0, of a ray through the centers of pixels, are dropped by the product with the average over a bin
    return sparse.csr_array((weight[inside], pixel[inside], starts), shape=(len(points), int(sizes.prod())))


def _system(geometry: Geometry) -> tuple[Any, Any]:
    """The system matrix (views detectors, H W) in mm, averaged over each bin, and its transpose."""
    from scipy import sparse

    count = _rays_per_bin(geometry)
    within = ((np.arange(count) + 0.5) / count - 0.5) * geometry.detector_spacing
    offsets = (geometry.offsets[:, None] + within).reshape(-1)
    average = sparse.kron(sparse.eye_array(geometry.detectors), np.full((1, count), 1 / count), format="csr")
    views = [average @ _joseph(geometry, *geometry.rays(angle, offsets)) for angle in geometry.views]
    transpose = sparse.vstack(views, format="csr").astype(np.float32).T.tocsr()
    return transpose.T.tocsr(), transpose  # transposing twice sorts the columns, in linear time


def _rays_per_bin(geometry: Geometry) -> int:
    """Rays at most one pixel apart in the image: the interpolation itself averages over less than that."""
    return max(1, math.ceil(geometry.width / geometry.pixel_spacing - 1e-9))


def peak_bytes(geometry: Geometry) -> float:
    """Memory that building the projector of a geometry takes at its peak, about: the rays of one view, and 30 bytes an
    entry of the matrix.

    A bin sees a strip of the image, and a pixel the bins on which it falls; the smaller count bounds the entries.
    """
    _, height, width = geometry.shape
    strip, longest = geometry.width / geometry.pixel_spacing, max(height, width)
    seen = min(geometry.detectors * longest * (max(strip, 1) + 1), height * width * (2 / strip + 1))
    rays = geometry.detectors * _rays_per_bin(geometry) * longest
    return 100.0 * rays + 30.0 * len(geometry.angles) * seen


def _check_memory(geometry: Geometry) -> None:
    need, free = peak_bytes(geometry), free_bytes(torch.device("cpu"))
    if need > free:
        _, height, width = geometry.shape
        raise InputError(
            f"The projector of {height} x {width} pixels of {geometry.pixel_spacing:g} mm, {len(geometry.angles)} views"
            f" and {geometry.detectors} bins needs about {need / 1e9:.3g} GB of memory, and {free / 1e9:.3g} GB are"
            " free; check the sizes in mm, or take fewer views or larger pixels."
        )


def compressed_rows(starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A sparse matrix in compressed rows, without torch's notice that these are a beta feature."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
        return torch.sparse_csr_tensor(starts, columns, values, size=shape, check_invariants=False)


def _from_scipy(matrix: Any) -> Tensor:
    index = np.int32 if max(matrix.nnz, *matrix.shape) < 2**31 else np.int64
    parts = matrix.indptr.astype(index), matrix.indices.astype(index), matrix.data
    starts, columns, values = map(torch.from_numpy, parts)
    return compressed_rows(starts, columns, values, tuple(matrix.shape))


class _Pair(Portable):
    """A sparse matrix and its transpose, in one object, which torch's function transforms do not change."""

    def __init__(self, matrix: Tensor, transpose: Tensor):
        self.matrix, self.transpose = matrix, transpose

    @property
    def T(self) -> _Pair:
        return _Pair(self.transpose, self.matrix)

    def double(self) -> _Pair:
        return _Pair(_double(self.matrix), _double(self.transpose))

    def __call__(self, x: Tensor) -> Tensor:
        """The matrix times every vector of a batch, flattened to (B, n); complex ones part by part."""
        if x.is_complex():
            return torch.complex(self(x.real), self(x.imag))
        rows = x.reshape(-1, self.matrix.shape[1]).to(self.matrix.dtype)
        product: Tensor = _Apply.apply(rows, self)  # type: ignore[assignment]
        return product.to(x.dtype)


class _Apply(torch.autograd.Function):
    """``x @ matrix^T`` for rows x; torch alone would transpose the matrix anew in every backward pass."""

    @staticmethod
    def forward(x: Tensor, pair: _Pair) -> Tensor:
        if len(x) == 1:  # the matrix-matrix product takes 1.4 to 1.7 times as long for one column
            return (pair.matrix @ x[0]).unsqueeze(0)
        return (pair.matrix @ x.mT).mT.contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Pair], output: Tensor) -> None:
        del output
        ctx.pair = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, None]:
        return _Apply.apply(gradients[0], ctx.pair.T), None


def _double(matrix: Tensor) -> Tensor:
    rows, columns = matrix.shape
    return compressed_rows(matrix.crow_indices(), matrix.col_indices(), matrix.values().double(), (rows, columns))


class Projector(Operator):
    """Line integrals of images (slices, H, W) in 1/mm: sinograms (slices, views, detectors), without unit.

    The matrix is stored in float32, with its transpose; a float64 copy is made for the first
    float64 image.

    Args:
        geometry: where the rays run, kept for cards and for filtered back-projection.

    Raises:
        InputError: the matrix needs more memory than is free.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        slices, height, width = geometry.shape
        _check_memory(geometry)
        super().__init__((slices, height, width), (slices, len(geometry.views), geometry.detectors))
        matrix, transpose = _system(geometry)
        self._single = _Pair(_from_scipy(matrix), _from_scipy(transpose))
        self._double: _Pair | None = None

    @property
    def matrix(self) -> Tensor:
        """The system matrix (views detectors, H W), mm, sparse compressed rows, float32."""
        return self._single.matrix

    @property
    def transpose(self) -> Tensor:
        """The transposed matrix (H W, views detectors), mm, sparse compressed rows, float32."""
        return self._single.transpose

    def _apply(self, x: Tensor) -> Tensor:
        return self._matrices(x)(x).reshape(len(x), *self.shape_out)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._matrices(y).T(y).reshape(len(y), *self.shape_in)

    def _matrices(self, like: Tensor) -> _Pair:
        if like.dtype not in (torch.float64, torch.complex128):
            return self._single
        if self._double is None:
            self._double = self._single.double()
        return self._double


def parallel_beam(
    shape: tuple[int, ...],
    angles: Sequence[float] | np.ndarray | Tensor,
    detectors: int,
    *,
    detector_spacing: float = 1.0,
    pixel_spacing: float = 1.0,
    center: Pair | None = None,
) -> Projector:
    """The projector of a parallel beam; see :class:`Geometry` for the arguments.

    A detector with an offset: ``Projector(ParallelBeam(..., detector_offset=...))``.
    """
    return Projector(
        ParallelBeam(
            shape=shape,
            angles=angles,
            detectors=detectors,
            detector_spacing=detector_spacing,
            pixel_spacing=pixel_spacing,
            center=center,
        )
    )


def fan_beam(
    shape: tuple[int, ...],
    angles: Sequence[float] | np.ndarray | Tensor,
    detectors: int,
    *,
    source_distance: float,
    detector_distance: float,
    detector_spacing: float = 1.0,
    pixel_spacing: float = 1.0,
    center: Pair | None = None,
) -> Projector:
    """The projector of a fan beam with a flat detector; see :class:`FanBeam` and :class:`Geometry`.

    A detector with an offset: ``Projector(FanBeam(..., detector_offset=...))``.
    """
    return Projector(
        FanBeam(
            shape=shape,
            angles=angles,
            detectors=detectors,
            detector_spacing=detector_spacing,
            pixel_spacing=pixel_spacing,
            center=center,
            source_distance=source_distance,
            detector_distance=detector_distance,
        )
    )
