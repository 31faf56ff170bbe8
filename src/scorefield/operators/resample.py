r"""Loss of resolution: blur and block averaging, both with closed forms.

A circular convolution is diagonal in the Fourier basis, so :math:`R + v A A^H` is too when the noise is
uniform; for block averages of m pixels :math:`A A^H = I/m`.
"""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.basic import finite, image_shape
from scorefield.operators.linear import Operator, Shape


class Blur(Operator):
    r"""Circular convolution of every channel with one real kernel, its origin at the middle ``k // 2``.

    .. math:: (A x)_i = \sum_j h_j \, x_{i - j + c}, \qquad c = \lfloor k/2 \rfloor.

    Args:
        shape: shape of one image (channels, *spatial).
        kernel: point spread function with one axis per spatial axis, no larger than the image.

    Raises:
        InputError: a kernel that is complex, not finite, larger than the image, or of other dimension.
    """

    def __init__(self, shape: Shape, kernel: Tensor):
        self.shape, self.kernel = (
            image_shape(shape, spatial=1),
            finite(torch.as_tensor(kernel), "kernel entries"),
        )
        spatial = self.shape[1:]
        if self.kernel.is_complex():
            raise InputError("The blur kernel is complex; a point spread function is real, pass its real part.")
        if self.kernel.ndim != len(spatial) or any(k > n for k, n in zip(self.kernel.shape, spatial, strict=True)):
            raise InputError(
                f"The blur kernel has shape {tuple(self.kernel.shape)}; for images {self.shape} it needs"
                f" {len(spatial)} axes, none longer than the image's."
            )
        super().__init__(self.shape, self.shape)
        self._axes = tuple(range(-len(spatial), 0))
        embedded = torch.zeros(spatial, dtype=torch.float64, device=self.kernel.device)
        embedded[tuple(slice(k) for k in self.kernel.shape)] = self.kernel.double()
        embedded = embedded.roll([-(k // 2) for k in self.kernel.shape], self._axes)
        self._transfer = torch.fft.fftn(embedded)

    def _apply(self, x: Tensor) -> Tensor:
        return self._filter(self._transfer, x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._filter(self._transfer.conj(), y)

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor | None:
        if noise.numel() != 1:
            return None  # noise that varies over the image is not diagonal in the Fourier basis
        return self._filter(1 / (noise + spread * self._transfer.abs().square().to(v.real.dtype)), v)

    def _filter(self, gain: Tensor, x: Tensor) -> Tensor:
        if x.is_complex():
            spectrum = torch.fft.fftn(x, dim=self._axes)
            return torch.fft.ifftn(gain.to(spectrum.dtype) * spectrum, dim=self._axes)
        spectrum = torch.fft.rfftn(x, dim=self._axes)
        half = gain[..., : spectrum.shape[-1]].to(spectrum.dtype)
        return torch.fft.irfftn(half * spectrum, s=self.shape[1:], dim=self._axes)


class Downsample(Operator):
    """Averages over blocks of pixels: ``A A^H = I / m`` for blocks of m pixels.

    Args:
        shape: shape of one image (channels, *spatial).
        factor: side of a block, one number for all spatial axes or one for each; thick slices are (k, 1, 1).

    Raises:
        InputError: a factor that is not a positive integer, or that does not divide the image.
    """

    def __init__(self, shape: Shape, factor: int | tuple[int, ...]):
        self.shape, self.factor = image_shape(shape, spatial=1), factor
        spatial = self.shape[1:]
        blocks = tuple(factor) if isinstance(factor, (tuple, list)) else (factor,) * len(spatial)
        if not all(isinstance(k, Integral) and k >= 1 for k in blocks) or len(blocks) != len(spatial):
            raise InputError(f"The factor is {factor}; give one positive integer, or one for each axis of {spatial}.")
        if any(n % k for n, k in zip(spatial, blocks, strict=True)):
            raise InputError(f"The factor {factor} does not divide an image of {spatial}; crop or pad the image.")
        self._blocks, self._count = blocks, math.prod(blocks)
        super().__init__(self.shape, (self.shape[0], *(n // k for n, k in zip(spatial, blocks, strict=True))))

    def _apply(self, x: Tensor) -> Tensor:
        split = [size for n, k in zip(self.shape_out[1:], self._blocks, strict=True) for size in (n, k)]
        return x.reshape(*x.shape[:2], *split).mean(tuple(range(3, 3 + 2 * len(self._blocks), 2)))

    def _adjoint(self, y: Tensor) -> Tensor:
        for axis, k in enumerate(self._blocks, start=2):
            y = y.repeat_interleave(k, axis)
        return y / self._count

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor:
        return v / (noise + spread / self._count)
