"""Computed tomography with rays from a point source to a flat detector."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from scorefield.noise import White
from scorefield.operators import ct_geometry
from scorefield.scans.projections import Projections, as_number


@dataclass(frozen=True, eq=False, repr=False)
class FanBeam(Projections):
    """Line integrals along rays from a point; the other fields and errors are those of :class:`Projections`.

    Args:
        source_distance: from the source to the axis of rotation, mm.
        detector_distance: from the axis of rotation to the detector, mm.
    """

    source_distance: float = field(kw_only=True)
    detector_distance: float = field(kw_only=True)

    @classmethod
    def example(cls) -> FanBeam:
        data = torch.rand(1, 5, 9, generator=torch.Generator().manual_seed(0))
        angles = torch.arange(5, dtype=torch.float64) * 2 * math.pi / 5
        return cls(data, angles, size=(6, 7), noise=White(0.1), detector_spacing=1.9, detector_offset=-0.6,
                   center=(2.0, 3.5), source_distance=30.0, detector_distance=20.0)  # fmt: skip

    @property
    def geometry(self) -> ct_geometry.FanBeam:
        return ct_geometry.FanBeam(
            **self._rays(), source_distance=self.source_distance, detector_distance=self.detector_distance
        )

    def _check(self) -> None:
        for name in ("source_distance", "detector_distance"):
            self._set(name, as_number(getattr(self, name), name))
        super()._check()
