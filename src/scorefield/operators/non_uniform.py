r"""The Fourier transform at any points of k-space: radial, spiral or other trajectories.

References:
    Barnett, Magland, af Klinteberg, SIAM J. Sci. Comput. 2019, arXiv:1808.06736 (finufft, which does the sums);
    Fessler, Lee, Olafsson, Shi, Noll, "Toeplitz-based iterative image reconstruction for MRI with correction for
    magnetic field inhomogeneity", IEEE Trans. Signal Process. 2005; Pipe, Menon, "Sampling density compensation in
    MRI", Magn. Reson. Med. 1999.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise import Gaussian
from scorefield.operators.basic import finite, image_shape
from scorefield.operators.coils import Coils
from scorefield.operators.linear import Operator, Shape
from scorefield.operators.plans import Plans
from scorefield.operators.sides import ImageSide, Side

ROUNDING = 1e-5  # by which a point may lie beyond half a cycle


class NonUniformFourier(Operator):
    r"""Centered Fourier transform at the points :math:`k_m` of a trajectory, in cycles per pixel.

    .. math::
        (A x)_m = \frac{1}{\sqrt n} \sum_j x_j \, e^{-2\pi i\, k_m \cdot (j - c)}, \qquad c = \lfloor n/2 \rfloor.

    The images are complex and have n pixels a channel; all channels share the trajectory.  At the points
    :math:`(k - c)/n` of the grid it is :class:`~scorefield.operators.Fourier`.

    For independent noise, :math:`A^H R^{-1} A` is a convolution for each channel, which two Fourier
    transforms of twice the size multiply exactly; their kernel is computed once.  Where data outnumber pixels,
    solves are on the image.

    Args:
        shape: shape of one image (channels, \*spatial), two or three spatial axes.
        trajectory: points (\*readouts, axes), such as (spokes, samples, 2), in cycles per pixel, from -1/2 to 1/2,
            their coordinates in the order of the spatial axes.  The data are (channels, \*readouts).

    Raises:
        InputError: other shapes, or points that are not real, not finite or beyond half a cycle per pixel; on the first
            product: the package finufft is not installed.
    """

    def __init__(self, shape: Shape, trajectory: Tensor):
        self.shape = image_shape(shape, spatial=2)
        self.trajectory = _points(trajectory, len(self.shape) - 1)
        super().__init__(self.shape, (self.shape[0], *self.trajectory.shape[:-1]))
        self._points = self.trajectory.reshape(-1, self.trajectory.shape[-1])
        self._plans = Plans(self._points, self.shape[1:])
        self._scale = math.prod(self.shape[1:]) ** -0.5
        self._kernel: tuple[Tensor, ...] = ()  # of the last weights: they, the kernel's spectrum

    @classmethod
    def example(cls) -> NonUniformFourier:
        """Fifteen points on a field of 4 x 5 pixels, seen by two channels."""
        points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
        return cls((2, 4, 5), points)

    def density(self, iterations: int = 30) -> Tensor:
        r"""Weights w (\*readouts) with :math:`A^H \mathrm{diag}(w) A \approx I`: 1 on a full grid, less in a crowd.

        Images without a solve are ``A.H(w * y)``.  The w nearest in the mean square has :math:`|A A^H|^2 w = 1`, entry
        by entry; from w = 1, each iteration divides w by the left side, which keeps it positive.

        Args:
            iterations: of Pipe and Menon.
        """
        sizes = tuple(2 * n for n in self.shape[1:])
        plans, window = Plans(self._points, sizes), torch.ones((), dtype=torch.float64)
        for n in self.shape[1:]:  # how many pairs of pixels differ by each step
            window = window.unsqueeze(-1) * (n - (torch.arange(2 * n) - n).abs()) / n**2
        weights = torch.ones(1, len(self._points), dtype=torch.complex128)
        for _ in range(iterations):
            weights = weights / plans.to_points(window * plans.to_grid(weights)).real
        return weights.real.reshape(self.shape_out[1:]).to(self.trajectory.device)

    def weighted_gram(self, noise: Gaussian, x: Tensor) -> Tensor:
        """``A^H R^-1 A x``: a convolution for independent noise."""
        if noise.variance is None:
            return super().weighted_gram(noise, x)
        variance = noise.variance.to(x.device)
        if variance.numel() == 1:
            return self.gram(x) / variance.reshape(()).to(x.real.dtype)
        return self._convolve(1 / variance, x)

    def gram(self, x: Tensor) -> Tensor:
        return self._convolve(torch.ones(1, device=x.device), x)

    def side(self, default: Side) -> Side:
        fewer = math.prod(self.shape_out) < math.prod(self.shape[1:])
        return default if fewer else ImageSide(default.operator, default.noise)

    def _apply(self, x: Tensor) -> Tensor:
        return _Sum.apply(_as_complex(x), self._to_data, self._to_image)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _Sum.apply(_as_complex(y), self._to_image, self._to_data)

    def _to_data(self, x: Tensor) -> Tensor:
        return self._plans.to_points(x.reshape(-1, *self.shape[1:])).reshape(-1, *self.shape_out) * self._scale

    def _to_image(self, y: Tensor) -> Tensor:
        values = y.reshape(-1, len(self._points))
        return self._plans.to_grid(values).reshape(-1, *self.shape) * self._scale

    def _convolve(self, weights: Tensor, x: Tensor) -> Tensor:
        x, axes = _as_complex(x), tuple(range(2, len(self.shape) + 1))
        padded = torch.fft.fftn(x, [2 * n for n in self.shape[1:]], dim=axes)
        product = torch.fft.ifftn(padded * self._spectrum(weights, x.real.dtype), dim=axes)
        return product[(..., *(slice(n) for n in self.shape[1:]))]

    def _spectrum(self, weights: Tensor, dtype: torch.dtype) -> Tensor:
        """Fourier transform (1 or channels, *doubled) of the kernel of ``A^H diag(weights) A``; it is real."""
        if not self._kernel or self._kernel[1].dtype != dtype or not _equal(self._kernel[0], weights):
            self._kernel = (
                weights,
                _toeplitz(self._points, self.shape, self._full(weights)).to(dtype).to(weights.device),
            )
        return self._kernel[1]

    def _full(self, weights: Tensor) -> Tensor:
        """Weights for each point, (1, m), or for each channel and point, (channels, m)."""
        aligned = weights.reshape(*[1] * (len(self.shape_out) - weights.ndim), *weights.shape)
        return aligned.expand(len(aligned), *self.shape_out[1:]).reshape(len(aligned), -1)


def non_cartesian_mri(trajectory: Tensor, coils: Tensor) -> Operator:
    r"""MRI of complex images (1, \*spatial) on any trajectory; data (coils, \*readouts).

    A real image takes one more factor: ``non_cartesian_mri(trajectory, coils) @ RealToComplex(shape)``.

    Args:
        trajectory: points (\*readouts, axes) in cycles per pixel; see :class:`NonUniformFourier`.
        coils: complex sensitivity maps (coils, \*spatial); one map of ones is a single coil of uniform sensitivity.

    Raises:
        InputError: as of :class:`NonUniformFourier` and :class:`~scorefield.operators.Coils`.
    """
    sensitivity = Coils(coils)
    return NonUniformFourier(sensitivity.shape_out, trajectory) @ sensitivity


class _Sum(torch.autograd.Function):
    """A complex linear map, whose derivative is its adjoint."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.there, ctx.back = there, back
        return there(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Sum.apply(gradients[0], ctx.back, ctx.there), None, None


def _toeplitz(points: Tensor, shape: Shape, weights: Tensor) -> Tensor:
    """The spectrum of the sums of the weights (channels, m) over twice the field: all differences of two pixels."""
    sizes = tuple(2 * n for n in shape[1:])
    kernel = Plans(points, sizes).to_grid(weights.to(torch.complex128)) / math.prod(shape[1:])
    for axis in range(len(sizes)):
        kernel.select(axis + 1, 0).zero_()  # no two pixels differ by the whole field; without it the rest is Hermitian
    axes = tuple(range(1, len(sizes) + 1))
    return torch.fft.fftn(torch.fft.ifftshift(kernel, axes), dim=axes).real


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.device == b.device and bool((a == b).all())


def _as_complex(x: Tensor) -> Tensor:
    return x.to(x.dtype.to_complex())


def _points(trajectory: Tensor, axes: int) -> Tensor:
    points = finite(torch.as_tensor(trajectory), "points of the trajectory")
    if points.is_complex() or points.ndim < 2 or points.shape[-1] != axes or points.numel() == 0 or axes > 3:
        raise InputError(
            f"A trajectory on {axes} spatial axes is real and has shape (*readouts, {axes}), with two or three axes and"
            f" at least one point; got {points.dtype} of shape {tuple(points.shape)}."
        )
    farthest = float(points.abs().max())
    if farthest > 0.5 + ROUNDING:
        raise InputError(
            f"A point of the trajectory lies {farthest:g} from the center, beyond 1/2 cycle per pixel; divide radians"
            " per pixel by 2 pi, and samples of the grid by its size."
        )
    return points
