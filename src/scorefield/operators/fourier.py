r"""The centered orthonormal Fourier transform: unitary, zero frequency at index ``n // 2`` of each axis."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.operators.basic import image_shape
from scorefield.operators.linear import Operator, Shape


class Fourier(Operator):
    r"""Centered orthonormal FFT over the spatial axes, :math:`A A^H = A^H A = I`, for even and odd sizes.

    .. math::
        (A x)_k = \frac{1}{\sqrt n} \sum_j x_j \, e^{-2\pi i (j - c)(k - c)/n},
        \qquad c = \lfloor n/2 \rfloor.

    Images are complex; put :class:`~scorefield.operators.RealToComplex` before it for real ones.

    Args:
        shape: shape of one image (channels, *spatial); every axis after the first is transformed.

    Raises:
        InputError: no spatial axis, or a size that is not a positive integer.
    """

    def __init__(self, shape: Shape):
        self.shape = image_shape(shape, spatial=1)
        super().__init__(self.shape, self.shape)
        self._axes = tuple(range(-len(self.shape) + 1, 0))

    def _apply(self, x: Tensor) -> Tensor:
        origin_first = torch.fft.ifftshift(x, self._axes)
        return torch.fft.fftshift(torch.fft.fftn(origin_first, dim=self._axes, norm="ortho"), self._axes)

    def _adjoint(self, y: Tensor) -> Tensor:
        origin_first = torch.fft.ifftshift(y, self._axes)
        return torch.fft.fftshift(torch.fft.ifftn(origin_first, dim=self._axes, norm="ortho"), self._axes)

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor:
        return v / (noise + spread)
