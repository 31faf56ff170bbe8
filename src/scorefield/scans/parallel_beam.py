"""Computed tomography with parallel rays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from scorefield.noise import White
from scorefield.operators import ct_geometry
from scorefield.scans.projections import Projections


@dataclass(frozen=True, eq=False, repr=False)
class ParallelBeam(Projections):
    """Line integrals along parallel rays; the fields and errors are those of :class:`Projections`."""

    @classmethod
    def example(cls) -> ParallelBeam:
        data = torch.rand(1, 5, 9, generator=torch.Generator().manual_seed(0))
        angles = torch.arange(5, dtype=torch.float64) * math.pi / 5
        return cls(data, angles, size=(6, 7), noise=White(0.1), detector_spacing=1.2, detector_offset=-0.6)

    @property
    def geometry(self) -> ct_geometry.ParallelBeam:
        return ct_geometry.ParallelBeam(**self._rays())
