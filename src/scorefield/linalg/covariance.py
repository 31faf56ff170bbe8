r"""Covariances of images: V, the uncertainty of a denoised image, as a map from images to images.

A covariance is anything that multiplies images by it (:data:`Spread`).  Two have a name: the isotropic
one, for which many systems have a closed form, and the stationary one, a variance for each frequency.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from scorefield.linalg.parts import per_image


class Covariance(Protocol):
    """A symmetric positive map of images (B, *shape), real or complex, each draw with its own."""

    def __call__(self, v: Tensor, /) -> Tensor:
        """``V v``."""
        ...


class Isotropic:
    """The covariance ``variance * I`` of x0 given x; ``variance`` is () or (B,), per real component, >= 0."""

    def __init__(self, variance: Tensor | float):
        self.variance = torch.as_tensor(variance)

    def __call__(self, v: Tensor) -> Tensor:
        return per_image(self.variance, v) * v


Spread = Isotropic | Covariance  # x0's covariance given x: isotropic, or a matrix-free product

# in cycles per pixel: the mean, then rings that widen as the spectra of images flatten, up to the corner at 0.71
EDGES = (0.01, 0.02, 0.035, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.6)
FLOOR = 1e-4  # least power over the largest: a covariance is positive, a quotient of a learned Jacobian need not be


class Stationary:
    r"""A stationary covariance of images (B, C, *spatial), each draw with its own; a vector has one ring.

    A cheap model of a covariance V that is expensive to multiply by; it serves as a preconditioner.  The covariance of
    a denoised image, :math:`V = \sigma^2 J`, is large at the low frequencies, which images are full of, and next to
    nothing where noise hides them.  The circular convolution

    .. math:: C = F^H \mathrm{diag}(p(|k|))\, F, \qquad
        p(\rho) = \frac{\sum_{|k| \in \rho} \mathrm{Re}\, \overline{(F v)_k}\, (F V v)_k}
        {\sum_{|k| \in \rho} |(F v)_k|^2}

    is V's Rayleigh quotient on each ring :math:`\rho` of frequencies, taken from a single product by V, and costs two
    Fourier transforms.

    Args:
        v: any images with energy at all frequencies of interest, real or complex.
        product: ``V v``.
    """

    def __init__(self, v: Tensor, product: Tensor):
        self.axes = tuple(range(2, v.ndim))
        rings = _rings(v).expand(len(v), -1)
        one, other = self._analyze(v), self._analyze(product)
        moved = _per_ring((one.conj() * other).real.sum(1), rings)
        energy = _per_ring(one.abs().square().sum(1), rings)
        least = torch.finfo(energy.dtype).eps * energy.sum(1, keepdim=True)  # less is rounding
        power = torch.where(energy > least, moved / energy, 0)
        power = torch.maximum(power, FLOOR * power.amax(1, keepdim=True).clamp(min=0))
        self.power = power.gather(1, rings).reshape(len(v), 1, *v.shape[2:])

    def __call__(self, v: Tensor) -> Tensor:
        """``C v``."""
        modes = self.power * self._analyze(v)
        image = torch.fft.ifftn(modes, dim=self.axes, norm="ortho") if self.axes else modes
        return image if v.is_complex() else image.real

    def _analyze(self, v: Tensor) -> Tensor:
        return torch.fft.fftn(v, dim=self.axes, norm="ortho") if self.axes else v


def _rings(v: Tensor) -> Tensor:
    """The ring of each frequency, (1, pixels)."""
    radius = torch.zeros((), device=v.device)
    for n in v.shape[2:]:
        radius = torch.hypot(radius[..., None], torch.fft.fftfreq(n, device=v.device))
    return torch.bucketize(radius, torch.tensor(EDGES, device=v.device), right=True).reshape(1, -1)


def _per_ring(values: Tensor, rings: Tensor) -> Tensor:
    """Sums of values (B, *spatial) over rings (B, pixels): (B, rings)."""
    return values.new_zeros(len(values), len(EDGES) + 1).scatter_add_(1, rings, values.reshape(len(values), -1))
