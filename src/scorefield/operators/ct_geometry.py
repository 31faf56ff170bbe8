r"""Where the rays of a tomograph run: parallel and fan beams.

Lengths are in mm, angles in radians.  With the rotation center at the origin, x to the right (growing
column) and y upward (falling row), view :math:`\theta` has the detector axis
:math:`(\cos\theta, \sin\theta)` and rays along :math:`(-\sin\theta, \cos\theta)`; view 0 sums the columns.
The rotation center is the geometric center of the image, :math:`((H-1)/2, (W-1)/2)` in pixels, unless another
is given: scikit-image rotates about ``(H // 2, W // 2)``, half a pixel off for even sizes.  The ray through the
rotation center meets the middle of the detector, unless the detector has an offset.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.basic import image_shape

Pair = tuple[float, float]
MANY_TURNS = 10 * math.tau


@dataclass(frozen=True, kw_only=True)
class Geometry(ABC):
    """Where the rays run.

    Args:
        shape: shape of one image (slices, H, W); all slices share the rays.
        angles: one view angle each, radians.
        detectors: number of detector bins in a view.
        detector_spacing: width of a bin, mm.
        pixel_spacing: side of a pixel, mm.
        center: rotation center (row, column) in pixels, pixel centers at whole numbers; None is the middle.
        detector_offset: position of the middle of the detector along its axis, mm, measured from the point where the
            ray through the rotation center meets it.  If that ray meets bin b, counted from 0, the offset is
            ``((detectors - 1) / 2 - b) * detector_spacing``; b need not be whole.

    Raises:
        InputError: a shape that is not (slices, H, W), no or non-finite angles, angles that look like degrees, no
            detector, a spacing that is not positive and finite, a center that is not a finite pair, or an offset that
            is not finite.
    """

    shape: tuple[int, ...]
    angles: Sequence[float] | np.ndarray | Tensor
    detectors: int
    detector_spacing: float = 1.0
    pixel_spacing: float = 1.0
    center: Pair | None = None
    detector_offset: float = 0.0

    def __post_init__(self) -> None:
        shape = image_shape(self.shape, spatial=2)
        angles = tuple(float(a) for a in np.asarray(self.angles, dtype=np.float64).reshape(-1))
        center = ((shape[-2] - 1) / 2, (shape[-1] - 1) / 2) if self.center is None else tuple(map(float, self.center))
        if len(shape) != 3:
            raise InputError(f"Projections are of images (slices, H, W), got the shape {shape}; use (1, H, W).")
        if not angles or not all(map(math.isfinite, angles)):
            raise InputError(f"The {len(angles)} angles must be finite radians, at least one; drop the bad views.")
        if not (isinstance(self.detectors, Integral) and self.detectors >= 1):
            raise InputError(f"A view needs a whole number of detectors >= 1, got {self.detectors}.")
        if _look_like_degrees(np.asarray(angles)):
            raise InputError(
                f"The angles reach {max(map(abs, angles)):g}, which is {max(map(abs, angles)) / math.tau:.0f} turns in"
                " radians; if they are degrees give numpy.deg2rad(angles), else give them modulo 2 pi."
            )
        self._positive("detector_spacing", "pixel_spacing")
        if len(center) != 2 or not all(map(math.isfinite, center)):
            raise InputError(f"The center is {self.center}; give a finite (row, column) in pixels, or None.")
        if not math.isfinite(self.detector_offset):
            raise InputError(f"detector_offset is {self.detector_offset}; give a finite length in mm.")
        for name, value in (("shape", shape), ("angles", angles), ("center", center)):
            object.__setattr__(self, name, value)

    def _positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}; give a positive length in mm.")

    @property
    def middle(self) -> Pair:
        """Rotation center (row, column) in pixels, the given one or the geometric one."""
        assert self.center is not None  # filled in at construction
        return self.center

    @property
    def views(self) -> np.ndarray:
        """The view angles, (views,), radians."""
        return np.asarray(self.angles, dtype=np.float64)

    @property
    def offsets(self) -> np.ndarray:
        """Middle of each bin along the detector axis, (detectors,), mm, from where the central ray meets it."""
        return (np.arange(self.detectors) - (self.detectors - 1) / 2) * self.detector_spacing + self.detector_offset

    @property
    @abstractmethod
    def width(self) -> float:
        """Width of a bin seen at the rotation center, mm."""

    @property
    @abstractmethod
    def turn(self) -> float:
        """Angle after which the views repeat: pi or 2 pi."""

    @property
    @abstractmethod
    def obliquity(self) -> np.ndarray:
        """Cosine of the angle between each bin's ray and the central ray, (detectors,)."""

    @property
    @abstractmethod
    def depth(self) -> np.ndarray | None:
        """Distance of the pixels from the source along each view's central ray, over the source distance.

        (views, H W), or None where all depths are one (parallel rays).
        """

    @abstractmethod
    def rays(self, angle: float, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A point on each ray and its direction, both (rays, 2) as (x, y) in mm from the rotation center."""


@dataclass(frozen=True, kw_only=True)
class ParallelBeam(Geometry):
    """Parallel rays, ``detector_spacing`` apart.  Arguments and errors are those of :class:`Geometry`."""

    @property
    def width(self) -> float:
        return self.detector_spacing

    @property
    def turn(self) -> float:
        return math.pi

    @property
    def obliquity(self) -> np.ndarray:
        return np.ones(self.detectors)

    @property
    def depth(self) -> np.ndarray | None:
        return None

    def rays(self, angle: float, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        axis, along = _frame(angle)
        points = offsets[:, None] * axis
        return points, np.broadcast_to(along, points.shape)


@dataclass(frozen=True, kw_only=True)
class FanBeam(Geometry):
    """Rays from a point source to a flat detector.

    The other arguments and errors are those of :class:`Geometry`.

    Args:
        source_distance: from the source to the rotation center, mm; the image must lie wholly beyond the
            source.
        detector_distance: from the rotation center to the detector, mm; 0 is a detector through the center.

    Raises:
        InputError: a distance that is not positive (detector_distance: negative), or a source inside the
            image.
    """

    source_distance: float
    detector_distance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("source_distance")
        if not (math.isfinite(self.detector_distance) and self.detector_distance >= 0):
            raise InputError(f"detector_distance is {self.detector_distance}; give a length >= 0 in mm.")
        row, column = self.middle
        reach = self.pixel_spacing * math.hypot(
            max(row, self.shape[-2] - 1 - row) + 0.5, max(column, self.shape[-1] - 1 - column) + 0.5
        )
        if self.source_distance <= reach:
            raise InputError(
                f"source_distance is {self.source_distance:g} mm but the image reaches {reach:g} mm from the"
                " rotation center; move the source out or check the pixel spacing."
            )

    @property
    def width(self) -> float:
        return self.detector_spacing * self.source_distance / (self.source_distance + self.detector_distance)

    @property
    def turn(self) -> float:
        return 2 * math.pi

    @property
    def obliquity(self) -> np.ndarray:
        reach = self.source_distance + self.detector_distance
        return reach / np.hypot(reach, self.offsets)

    @property
    def depth(self) -> np.ndarray | None:
        row, column = np.divmod(np.arange(self.shape[-2] * self.shape[-1]), self.shape[-1])
        x, y = column - self.middle[1], self.middle[0] - row
        along = np.outer(np.cos(self.views), y) - np.outer(np.sin(self.views), x)
        return 1 + along * self.pixel_spacing / self.source_distance

    def rays(self, angle: float, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        axis, along = _frame(angle)
        source = np.broadcast_to(-self.source_distance * along, (len(offsets), 2))
        return source, (self.source_distance + self.detector_distance) * along + offsets[:, None] * axis


def _frame(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (x, y) along the detector and along the central ray."""
    return np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])


def _look_like_degrees(angles: np.ndarray) -> bool:
    """Whether angles of many turns are no plain rotation, or one whose steps are those of a division of 180 degrees."""
    if np.abs(angles).max() < MANY_TURNS:
        return False
    steps = np.diff(angles)
    if not np.allclose(steps, steps[:1], rtol=1e-6, atol=0):
        return True  # no rotation by one step, such as the golden angle
    arcs = np.abs(steps[:1]) * (len(angles), len(angles) - 1)
    closed = np.abs(arcs / 180 - np.round(arcs / 180)) * 180 < 1e-6
    return bool(closed.any()) or bool(np.allclose(1e3 * steps, np.round(1e3 * steps), rtol=0, atol=1e-6))
