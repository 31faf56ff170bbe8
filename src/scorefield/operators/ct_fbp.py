r"""Filtered back-projection: the classical inverse of a projector, as a starting point and for comparison.

With a parallel beam :math:`f = \int_0^\pi (h * p_\theta)(x \cos\theta + y \sin\theta)\, d\theta`, where h is the ramp
filter.  The adjoint of the projector is the back-projection up to a factor: a view's weights at a pixel of
area a sum to a over the distance between rays there, d for a parallel beam and :math:`d\,U \cos\gamma` for a
fan, where U is the pixel's depth in units of the source distance, :math:`\gamma` the ray's angle to the
central one, and d is measured at the rotation center.  The fan's own weights (Kak & Slaney) are
:math:`\cos\gamma` before filtering and :math:`U^{-2}` after, so with the adjoint the factors
:math:`\cos\gamma` before and :math:`U^{-1}` after are applied a second time.

References:
    Kak & Slaney, "Principles of Computerized Tomographic Imaging", IEEE Press 1988, chapter 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.ct import Projector, compressed_rows

Window = Callable[[Tensor], Tensor]
SAME = 1e-9  # of a turn: views that are nearer are the same, but for rounding
WEDGE, NARROW = 10, 1 / 36  # in usual gaps, beyond the widest of hundreds of random views; and in turns


def ramlak(frequency: Tensor) -> Tensor:
    """No window: the bare ramp (Ramachandran & Lakshminarayanan 1971); sharpest, noisiest."""
    return torch.ones_like(frequency)


def shepp_logan(frequency: Tensor) -> Tensor:
    """The sinc window of Shepp & Logan 1974."""
    return torch.sinc(frequency / 2)


def hann(frequency: Tensor) -> Tensor:
    """The raised cosine: zero at the Nyquist frequency; smoothest."""
    return 0.5 + 0.5 * torch.cos(math.pi * frequency)


def fbp(projector: Projector, sinogram: Tensor, filter: Window = ramlak) -> Tensor:
    """Filtered back-projection of sinograms (B, slices, views, detectors): images (B, slices, H, W) in 1/mm.

    Views count by the angle they stand for, so uneven, random and repeated angles are fine, over any number of turns.
    A gap as wide as ten usual ones is a missing wedge; no view stands for it.  Every view must see the whole object: a
    detector with an offset must still reach beyond both sides of it.

    Args:
        projector: the forward model, parallel beam, or fan beam over a full turn.
        sinogram: line integrals; one sinogram (slices, views, detectors) gives one image (slices, H, W).
        filter: window on the ramp, a function of frequency in units of the Nyquist frequency, [0, 1] to
            gains.

    Raises:
        InputError: a sinogram that is not the projector's, or a fan beam over less than a full turn.
    """
    sinogram = torch.as_tensor(sinogram)
    if tuple(sinogram.shape) == projector.shape_out:
        return fbp(projector, sinogram.unsqueeze(0), filter)[0]
    if tuple(sinogram.shape[1:]) != projector.shape_out:
        raise InputError(f"The sinogram has shape {tuple(sinogram.shape)}; {projector} gives {projector.shape_out}.")
    geometry = projector.geometry
    shares = _shares(geometry.views, geometry.turn)
    if geometry.turn > math.pi and shares.sum() < 0.99 * math.pi:
        raise InputError("Fan-beam FBP needs views over a full turn; reconstruct a short scan iteratively.")
    cosine = torch.as_tensor(geometry.obliquity).to(sinogram)
    scale = torch.as_tensor(shares * geometry.width / geometry.pixel_spacing**2).to(sinogram)
    return _backproject(projector, _ramp(cosine * sinogram, geometry.width, filter) * cosine * scale.unsqueeze(-1))


def _shares(angles: np.ndarray, turn: float) -> np.ndarray:
    """The part of half a turn that each view stands for: half the gaps to its neighbors, modulo ``turn``.

    The parts of all views add up to half a turn, less the missing wedges.
    """
    place = np.mod(angles, turn)
    order = np.argsort(place, kind="stable")
    gaps = np.diff(place[order], append=place[order[0]] + turn)  # from each view to the next
    usual = np.median(gaps[gaps > SAME * turn])  # repeated views have none between them
    gaps = np.where(gaps > max(WEDGE * usual, NARROW * turn), usual, gaps)
    shares = np.empty(len(angles))
    shares[order] = (gaps + np.roll(gaps, 1)) / 2
    return shares * math.pi / turn


def _ramp(sinogram: Tensor, width: float, filter: Window) -> Tensor:
    """Each view convolved with the band-limited ramp, zero-padded so that it does not wrap around."""
    detectors = sinogram.shape[-1]
    size = 2 ** math.ceil(math.log2(max(2 * detectors, 2)))
    n = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64, device=sinogram.device)
    odd = n.remainder(2) == 1
    kernel = torch.where(odd, -1 / (math.pi * width * torch.where(odd, n, 1)).square(), 0)
    kernel[0] = 1 / (4 * width**2)
    gain = torch.fft.rfft(kernel).real * width * filter(torch.linspace(0, 1, size // 2 + 1).to(kernel))
    spectrum = torch.fft.rfft(sinogram, n=size)
    return torch.fft.irfft(spectrum * gain.to(sinogram.dtype), n=size)[..., :detectors]


def _backproject(projector: Projector, sinogram: Tensor) -> Tensor:
    """The adjoint, with every entry of the matrix divided by its pixel's depth in its view."""
    depth = projector.geometry.depth
    if depth is None:
        return projector.H(sinogram)
    transpose = projector.transpose
    starts, rays = transpose.crow_indices(), transpose.col_indices()
    pixels, count = transpose.shape
    pixel = torch.repeat_interleave(torch.arange(pixels, device=rays.device), starts.diff())
    entry = torch.as_tensor(depth, device=rays.device)[rays // projector.geometry.detectors, pixel]
    values = (transpose.values() / entry).to(sinogram.dtype)
    weighted = compressed_rows(starts, rays, values, (pixels, count))
    image = (weighted @ sinogram.reshape(-1, count).mT).mT
    return image.reshape(len(sinogram), *projector.shape_in)
