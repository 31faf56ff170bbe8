"""Units of intensity: the intensity of an image, and the attenuation of water.

A learned prior states the intensity of its training images (``amplitude``).  A scan is scaled to it by the ratio of
the two intensities.
"""

from __future__ import annotations

from torch import Tensor

WATER = 0.0193  # 1/mm: linear attenuation of water at 70 keV (NIST XCOM)


def intensity_of(image: Tensor) -> float:
    """The 99th percentile of the magnitude of ``image``, of any shape, in its unit; 1 for an image of zeros."""
    magnitude = image.abs().flatten().double()
    value = float(magnitude.kthvalue(max(1, round(0.99 * magnitude.numel()))).values)
    return value if value > 0 else 1.0
