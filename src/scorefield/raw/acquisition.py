"""The k-space of one slice on its Cartesian grid, as a raw file gives it: the object that all formats return."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from scorefield.raw.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Acquisition:
    r"""One slice, echo and repetition.

    Args:
        kspace: (coils, readout, lines), complex, zero frequency at ``n // 2``, the mean of all averages; zero where
            nothing was measured.
        counts: (readout, lines), how many times each entry was measured.
        width: samples of the readout axis that the image keeps, in the middle of its field of view; the others are
            oversampling.
        noise: (coils, m), complex samples without signal, of the variance that a single sample of k-space has, or None.
        calibration: as ``kspace``, for the coil maps; None where k-space itself serves.
        geometry: of the grid.
        source: the file and what was taken from it, in words.
        remarks: sentences on what the file lacks, and what was done about it.
    """

    kspace: Tensor
    counts: Tensor
    width: int
    noise: Tensor | None = None
    calibration: Tensor | None = None
    geometry: Geometry = field(default_factory=Geometry)
    source: str = "k-space in memory"
    remarks: tuple[str, ...] = ()

    @property
    def mask(self) -> Tensor:
        """True where k-space was measured, (1, readout, lines)."""
        return (self.counts > 0).unsqueeze(0)
