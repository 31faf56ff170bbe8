"""Pictures as 16-bit numbers inside a page: every gray of a narrow window is there, and every pixel can be read.

A number k is the value ``low + step k``.  Each row is stored as the differences of neighbors modulo 2^16, first all
high bytes, then all low bytes, compressed (zlib) and written in base64; ``web/viewer/raster.js`` is the inverse.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np

from scorefield.data.display import Plane, Window

LARGEST = 2**16 - 1


@dataclass(frozen=True)
class Raster:
    """One stored picture.

    Args:
        low: the value of the number 0.
        step: the value of one number more.
        data: the numbers, see above.
    """

    low: float
    step: float
    data: str


def store(picture: Plane, ends: Window | None = None) -> Raster:
    """Store a picture; its error is at most half a step.

    Args:
        picture: (rows, columns).
        ends: values of the numbers 0 and 65535, for pictures that share them; by default the smallest and the largest
            value of the picture.
    """
    low, high = span(picture) if ends is None else ends
    step = (high - low) / LARGEST
    numbers = np.clip(np.rint((picture - low) / step), 0, LARGEST).astype(np.uint16)
    differences = np.diff(numbers, axis=1, prepend=np.uint16(0))  # modulo 2^16
    plain = (differences >> 8).astype(np.uint8).tobytes() + (differences & 255).astype(np.uint8).tobytes()
    return Raster(low, step, base64.b64encode(zlib.compress(plain, 9)).decode("ascii"))


def span(*pictures: Plane) -> Window:
    """The smallest and the largest value of pictures; the ends differ."""
    low, high = min(float(p.min()) for p in pictures), max(float(p.max()) for p in pictures)
    return (low, high) if high > low else (low, low + max(1.0, abs(low)))
