"""What "1" means: the intensity of an image, and the attenuation of water."""

from __future__ import annotations

from torch import Tensor

WATER = 0.0193  # 1/mm: linear attenuation of water at 70 keV (NIST XCOM)


def intensity_of(image: Tensor) -> float:
    """99th percentile of the magnitude; 1 for an empty image."""
    magnitude = image.abs().flatten().double()
    value = float(magnitude.kthvalue(max(1, round(0.99 * magnitude.numel()))).values)
    return value if value > 0 else 1.0
