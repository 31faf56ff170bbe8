r"""Where a raw scan lies in the patient.

A raw file states a position and unit vectors of the readout, the phase encoding and the normal, in mm and in DICOM's
coordinates (x to the patient's left, y to the back, z to the head).  The position is that of zero phase, and a centered
Fourier transform puts it at index :math:`\lfloor n/2 \rfloor` of each axis, so that

.. math:: (x, y, z) = p + \sum_a (i_a - \lfloor n_a/2 \rfloor)\, \Delta_a\, e_a .

References:
    Inati et al., "ISMRM raw data format", Magn. Reson. Med. 2017; DICOM part 3, C.7.6.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scorefield.data.frame import Frame

TO_RAS = np.diag([-1.0, -1.0, 1.0])
TOLERANCE = 1e-2  # of length 1 and of right angles; files hold single precision, rounded by some exporters


@dataclass(frozen=True, eq=False)
class Geometry:
    """Position, directions and steps of a grid.

    Args:
        steps: mm from sample to sample along the two axes of the image, and to the next slice; None where unknown.
        position: (3,), mm, of the grid's zero; None where unknown.
        directions: three vectors (3,), of the two axes and the normal; None where unknown.
    """

    steps: Sequence[float] | None = None
    position: np.ndarray | None = None
    directions: Sequence[np.ndarray] | None = None

    @property
    def is_placed(self) -> bool:
        """Whether position, directions and steps say where the image lies: three right-angled unit vectors."""
        if self.steps is None or self.position is None or self.directions is None:
            return False
        vectors = np.array(self.directions, dtype=np.float64)
        finite = bool(np.isfinite(vectors).all() and np.isfinite(self.position).all())
        return finite and bool(np.allclose(vectors @ vectors.T, np.eye(3), atol=TOLERANCE))

    def frame(self, shape: tuple[int, ...], source: str) -> Frame:
        """The frame of an image of ``shape`` (rows, columns) on this grid, with its affine where that is known."""
        if self.steps is None:
            return Frame(source=source, modality="MR")
        steps = tuple(float(step) for step in self.steps[:2])
        if not self.is_placed:
            return Frame(spacing=steps, source=source, modality="MR")
        assert self.directions is not None
        assert self.position is not None
        turn = TO_RAS @ _orthonormal(np.array(self.directions, dtype=np.float64).T)
        affine = np.eye(4)
        affine[:3, :3] = turn * np.array(self.steps, dtype=np.float64)
        middle = np.array([*(n // 2 for n in shape), 0.0])
        affine[:3, 3] = TO_RAS @ np.array(self.position, dtype=np.float64) - affine[:3, :3] @ middle
        return Frame(affine=affine, source=source, modality="MR").for_axes(2)


def _orthonormal(vectors: np.ndarray) -> np.ndarray:
    """The orthonormal matrix nearest to (3, 3)."""
    left, _, right = np.linalg.svd(vectors)
    return left @ right
