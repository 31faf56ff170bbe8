r"""The centered orthonormal Fourier transform: unitary, zero frequency at index ``n // 2`` of each axis."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.linalg.parts import cast
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
        self._before = _ramps(self.shape[1:])
        self._after = self._before * self._before[tuple(n // 2 for n in self.shape[1:])].conj()

    def _apply(self, x: Tensor) -> Tensor:
        ramped = cast(self._before, x) * x
        return torch.fft.fftn(ramped, dim=self._axes, norm="ortho").mul_(cast(self._after, x))

    def _adjoint(self, y: Tensor) -> Tensor:
        ramped = cast(self._after, y).conj() * y
        return torch.fft.ifftn(ramped, dim=self._axes, norm="ortho").mul_(cast(self._before, y).conj())

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor:
        return v / (noise + spread)


def _ramps(sizes: Shape) -> Tensor:
    r"""The product over the axes of :math:`e^{2\pi i c j/n}`, :math:`c = \lfloor n/2 \rfloor`.

    A ramp of phase on one side of the transform moves the origin on the other, at a tenth of the cost of moving pixels.
    """
    ramps = torch.ones((), dtype=torch.complex128)
    for n in sizes:
        turns = torch.arange(n, dtype=torch.float64) * (n // 2) % n  # of 1/n
        ramp = torch.polar(torch.ones_like(turns), 2 * math.pi / n * turns)
        ramps = ramps.unsqueeze(-1) * ramp
    return ramps
