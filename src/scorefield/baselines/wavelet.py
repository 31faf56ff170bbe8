r"""Wavelet shrinkage: translation-invariant Haar wavelets with a threshold for each band.

One level splits an image a along each axis into half sums and half differences of pixels at distance :math:`2^j`,

.. math:: (L a)_i = \tfrac12 (a_i + a_{i + 2^j}), \qquad (H a)_i = \tfrac12 (a_i - a_{i + 2^j}), \qquad
    L^T L + H^T H = I,

into one smooth image, which the next level splits, and :math:`2^d - 1` bands of details.  No pixel is left out, so the
result is the average over all shifts of the orthonormal transform (cycle spinning).  White noise of variance s^2 has
variance :math:`s_b^2 = 2^{-d (j + 1)} s^2` in a band.  BayesShrink assumes that the details of the image in a band are
Laplacian with variance :math:`v = \max(E w^2 - s_b^2, 0)`.  The soft threshold :math:`s_b^2 / \sqrt v` is then nearly
optimal.

References:
    Chang, Yu, Vetterli, "Adaptive wavelet thresholding for image denoising and compression", IEEE TIP 2000.
    Coifman & Donoho, "Translation-invariant de-noising", 1995.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from scorefield.baselines.denoising import as_channels, from_channels, noisy_image, positive
from scorefield.errors import InputError
from scorefield.linalg.parts import per_image
from scorefield.measurement import Measurement


def wavelet_shrinkage(measurement: Measurement, strength: float = 1.0, *, levels: int = 4) -> Tensor:
    """Translation-invariant Haar shrinkage with the thresholds of BayesShrink, for each channel.

    Args:
        measurement: an image with white noise.
        strength: factor on the standard deviation of the noise in the thresholds.
        levels: number of scales; the coarsest is 2^levels pixels.

    Returns:
        One image, shaped like ``measurement.shape``.

    Raises:
        InputError: not an image with white noise, or a number out of range.
    """
    image, std = noisy_image(measurement)
    positive(strength, "strength of the shrinkage")
    if levels < 1:
        raise InputError(f"Wavelet shrinkage needs levels >= 1, got {levels}.")
    channels = as_channels(image)
    whole = channels
    for axis in range(1, whole.ndim):  # even extension: the periodic image has no jump at its border
        whole = torch.cat([whole, whole.flip(axis)], axis)
    shrunk = _shrink(whole, strength * std, 0, levels)
    for axis, n in enumerate(channels.shape[1:], start=1):
        shrunk = shrunk.narrow(axis, 0, n)
    return from_channels(shrunk, image)


def _shrink(a: Tensor, std: float, level: int, levels: int) -> Tensor:
    """Shrink all details of the smooth image ``a`` of a level; ``std`` is the noise of the whole image."""
    if level == levels:
        return a
    axes, total = range(1, a.ndim), torch.zeros_like(a)
    noise = std * 2 ** (-len(axes) * (level + 1) / 2)
    for signs in product((1, -1), repeat=len(axes)):
        band = a
        for axis, sign in zip(axes, signs, strict=True):
            band = _combine(band, sign, -(2**level), axis)
        band = _shrink(band, std, level + 1, levels) if min(signs) > 0 else _soft(band, noise)
        for axis, sign in zip(axes, signs, strict=True):
            band = _combine(band, sign, 2**level, axis)
        total = total + band
    return total


def _combine(a: Tensor, sign: int, shift: int, axis: int) -> Tensor:
    """The half sum (sign 1) or half difference (sign -1) of ``a`` and its shift along an axis."""
    return (a + sign * a.roll(shift, axis)) / 2


def _soft(band: Tensor, noise: float) -> Tensor:
    """Apply the threshold of BayesShrink to details (C, *spatial); it is infinite if the band is noise only."""
    signal = (band.square().flatten(1).mean(1) - noise**2).clamp(min=0).sqrt()
    threshold = per_image(noise**2 / signal, band)
    return torch.where(band.abs() > threshold, band - threshold * band.sign(), 0)
