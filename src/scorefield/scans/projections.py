"""Projections, the common part of parallel and fan beams: sinograms, angles, the detector, and cached projectors."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.ct import Projector
from scorefield.operators.ct_geometry import Geometry, Pair
from scorefield.scans.readouts import Readouts
from scorefield.scans.scan import Scan

SQUARE = 1e-3  # relative difference of the sides of a pixel that counts as none


class Projectors:
    """A cache of projectors by geometry: those in use, and the last one.

    The matrix of a large scan takes half a minute and gigabytes: each geometry is built once, and the last
    projector, if nothing else uses it, is released before the next is built.
    """

    def __init__(self) -> None:
        self._used: WeakValueDictionary[Geometry, Projector] = WeakValueDictionary()
        self._last: Projector | None = None

    def get(self, geometry: Geometry) -> Projector:
        """The projector of a geometry."""
        projector = self._used.get(geometry)
        if projector is None:
            self._last = None
            projector = self._used[geometry] = Projector(geometry)
        self._last = projector
        return projector


PROJECTORS = Projectors()


@dataclass(frozen=True, eq=False, repr=False)
class Projections(Scan):
    """Line integrals of an attenuation image (slices, H, W).

    Args:
        data: (slices, views, bins), without unit.
        noise: the law of the data; ``Weighted`` where it differs between rays.
        frame: of the image; its spacing is the side of a pixel in mm, 1 mm where it is unknown.
        angles: (views,), radians.
        size: rows and columns of the image.
        detector_spacing: width of a bin, mm.
        detector_offset: position of the middle of the detector, mm along its axis, from where the ray through the
            axis of rotation meets it.  If that ray meets bin b, counted from 0 and not always whole, this is
            ``((bins - 1) / 2 - b) * detector_spacing``.
        center: axis of rotation (row, column) in pixels of the image; None is the middle of the image.

    Raises:
        InputError: as :class:`Scan` and :class:`scorefield.operators.Geometry`; complex data, or pixels that are not
            square.
    """

    angles: Tensor
    size: tuple[int, int] = field(kw_only=True)
    detector_spacing: float = field(default=1.0, kw_only=True)
    detector_offset: float = field(default=0.0, kw_only=True)
    center: Pair | None = field(default=None, kw_only=True)

    @property
    @abstractmethod
    def geometry(self) -> Geometry:
        """Where the rays run."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.data), *self.size)

    @property
    def shape_of_data(self) -> tuple[int, ...]:
        return (len(self.data), len(self.angles), self.detectors)

    @property
    def detectors(self) -> int:
        """Number of bins of a view."""
        return self.data.shape[-1]

    @property
    def pixel_spacing(self) -> float:
        """Side of a pixel, mm."""
        return 1.0 if self.frame.spacing is None else self.frame.spacing[0]

    def operator(self) -> Projector:
        return PROJECTORS.get(self.geometry)

    @property
    def readouts(self) -> Readouts:
        """Views."""
        views = len(self.angles)
        needed = torch.zeros(views, dtype=torch.bool)
        return Readouts("views", 1, torch.arange(views), needed, lambda chosen: {"angles": self.angles[chosen]})

    def _check(self) -> None:
        if self.data.is_complex() or self.data.ndim != 3:
            raise InputError(
                f"The scan's data are {self.data.dtype} of shape {tuple(self.data.shape)}; give real line integrals"
                " (slices, views, bins)."
            )
        self._set("angles", torch.as_tensor(self.angles, dtype=torch.float64).reshape(-1))
        size = tuple(self.size)
        if len(size) != 2 or not all(int(n) == n > 0 for n in size):
            raise InputError(f"The scan's size is {self.size}; give the rows and columns of the image.")
        self._set("size", (int(size[0]), int(size[1])))
        self._set("frame", self.frame.for_axes(2))
        spacing = self.frame.spacing
        if spacing is not None and abs(spacing[1] / spacing[0] - 1) > SQUARE:
            raise InputError(f"Projections need square pixels, and the scan's frame has {spacing} mm; correct it.")
        for name in ("detector_spacing", "detector_offset"):
            self._set(name, as_number(getattr(self, name), name))
        if self.center is not None:
            self._set("center", tuple(as_number(value, "center") for value in self.center))
        self._set("angles", torch.tensor(self.geometry.angles, dtype=torch.float64))

    def _rays(self) -> dict[str, Any]:
        """The arguments of every geometry."""
        return {"shape": self.shape, "angles": self.angles, "detectors": self.detectors, "center": self.center,
                "detector_spacing": self.detector_spacing, "detector_offset": self.detector_offset,
                "pixel_spacing": self.pixel_spacing}  # fmt: skip


def as_number(value: Any, name: str) -> float:
    if isinstance(value, (bool, str)):
        raise InputError(f"The scan's {name} is {value!r}; give a number.")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"The scan's {name} is {value!r}; give a number.") from None
