r"""Non-local means: each pixel is replaced by a weighted average of pixels with similar surroundings.

.. math:: x_i = \frac{\sum_j w_{ij} y_j}{\sum_j w_{ij}}, \qquad
    w_{ij} = \exp\left(-\frac{\max(d_{ij}^2 - 2 s^2, 0)}{h^2}\right),

with :math:`d_{ij}^2` the mean square difference of the patches around i and j, s the standard deviation of the noise,
and :math:`h = \mathrm{strength} \cdot s`.  Noise alone contributes :math:`2 s^2` to a distance, which is subtracted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.baselines.denoising import as_channels, from_channels, noisy_image, positive
from scorefield.errors import InputError
from scorefield.measurement import Measurement


def non_local_means(measurement: Measurement, strength: float = 0.6, *, patch: int = 7, reach: int = 10) -> Tensor:
    """Non-local means of a noisy image, by the fast algorithm of scikit-image.

    The weights of a complex image depend on both its parts.

    Args:
        measurement: an image with white noise.
        strength: h in units of the standard deviation of the noise; scikit-image advises 0.6.
        patch: side of the patches in pixels, odd; 7 as published.
        reach: the side of the window is 2 reach + 1 pixels; 21 pixels as published.

    Returns:
        One image, shaped like ``measurement.shape``.

    Raises:
        InputError: not an image of two or three axes with white noise, or a number out of range.

    References:
        Buades, Coll, Morel, "A non-local algorithm for image denoising", CVPR 2005; Darbon et al., "Fast nonlocal
        filtering applied to electron cryomicroscopy", ISBI 2008 (the fast algorithm).
    """
    from skimage.restoration import denoise_nl_means

    image, std = noisy_image(measurement)
    positive(strength, "strength of non-local means")
    if image.ndim not in (3, 4) or patch < 1 or patch % 2 == 0 or reach < 1:
        raise InputError("Non-local means takes images of two or three axes, an odd patch side and a reach >= 1.")
    channels = as_channels(image)
    pixels = channels.movedim(0, -1).contiguous().cpu().numpy()  # scikit-image 0.26 drops a single first channel
    denoised = denoise_nl_means(
        pixels,
        patch_size=patch,
        patch_distance=reach,
        h=strength * std,
        sigma=std,
        fast_mode=True,
        channel_axis=-1,
    )
    return from_channels(torch.from_numpy(denoised.reshape(pixels.shape)).movedim(-1, 0).to(channels), image)
