"""How a report shows images: unit, gray window, and the patient's geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from scorefield.data.display import Plane, Window, plane, plane_note, zoom
from scorefield.data.frame import Frame
from scorefield.errors import InputError

if TYPE_CHECKING:
    from scorefield.data import Image
    from scorefield.scans.scan import Scan

UNIT = "image unit"


@dataclass(frozen=True, eq=False, init=False)
class View:
    """How images are shown.

    Args:
        unit: of the values.
        window: gray window (low, high) of all images; from the reference, or the mean, when None.
        affine: (4, 4), array indices to RAS+ mm: images are hung as radiologists do, superior or anterior up and the
            patient's right on the left; in the order of the array when None.
        spacing: mm per spatial axis: pixels are as wide and high as they are in the patient; square when None.
        frame: unit, affine and spacing at once, as images and scans carry them; it replaces the three.

    Raises:
        InputError: an empty window, or an invalid affine or spacing.
    """

    frame: Frame
    window: Window | None

    def __init__(
        self,
        unit: str = UNIT,
        window: Window | None = None,
        affine: np.ndarray | None = None,
        spacing: tuple[float, ...] | None = None,
        *,
        frame: Frame | None = None,
    ):
        if window is not None and not (math.isfinite(window[0]) and window[0] < window[1] < math.inf):
            raise InputError(f"The window must be (low, high) with low < high, got {tuple(window)}.")
        frame = Frame(spacing, affine, unit, "The view") if frame is None else frame
        object.__setattr__(self, "frame", frame)
        object.__setattr__(self, "window", window)

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return self.frame.unit

    @classmethod
    def of(cls, source: Image | Scan, window: Window | None = None) -> View:
        """The view of an image or a scan, with its unit, affine and spacing."""
        return cls(window=window, frame=source.frame)

    def plane(self, image: Tensor) -> Plane:
        """The picture of one image (C, *spatial), hung: see :func:`scorefield.data.display.plane`.

        Raises:
            InputError: fewer than two or more than three spatial axes.
        """
        order, flips = self.frame.hanging(image.ndim - 1)
        return plane(image.flip([a + 1 for a in flips]).permute(0, *[a + 1 for a in order]))

    def note(self, shape: tuple[int, ...], is_complex: bool) -> str:
        """Which part of images (C, *spatial) the view shows, and how, in words; empty if it shows all as it is."""
        order, flips = self.frame.hanging(len(shape) - 1)
        notes = [plane_note((shape[0], *(shape[a + 1] for a in order)), is_complex)]
        if flips or order != sorted(order):
            notes.append("turned as radiologists hang them")
        high, wide = self._pixel()
        if not math.isclose(high, wide, rel_tol=1e-3):
            notes.append(f"with pixels {high:.3g} mm high and {wide:.3g} mm wide")
        return ", ".join(note for note in notes if note)

    def size(self, picture: Plane) -> tuple[int, int]:
        """Height and width of a picture in CSS pixels."""
        high, wide = self._pixel()
        rows, columns = picture.shape
        scale = self.zoom(picture) / min(high, wide)
        return round(scale * rows * high), round(scale * columns * wide)

    def zoom(self, picture: Plane) -> int:
        """The whole magnification of the shorter side of a pixel."""
        high, wide = self._pixel()
        rows, columns = picture.shape
        return zoom((math.ceil(rows * high / min(high, wide)), math.ceil(columns * wide / min(high, wide))))

    @property
    def pixel(self) -> tuple[float, float] | None:
        """Height and width of a pixel in mm; None where they are unknown."""
        return None if self.frame.spacing is None else self._pixel()

    def _pixel(self) -> tuple[float, float]:
        """Height and width of a pixel in mm, or of a square."""
        spacing = self.frame.spacing
        if spacing is None:
            return 1.0, 1.0
        high, wide = [spacing[a] for a in self.frame.hanging(len(spacing))[0]][-2:]
        return high, wide
