r"""The frame of an image: pixel size, position in the patient, unit of the values, and origin.

``spacing[a]`` is the step along spatial axis ``a`` in mm, and ``affine`` maps array indices to patient coordinates in
mm, x to the patient's left-to-Right, y to Anterior, z to Superior (RAS+, as in NIfTI):

.. math:: (x, y, z, 1)^T = \mathrm{affine} \, (i, j, k, 1)^T .

A 2-D image keeps a 4x4 affine; its index k is 0 and the third column is the step to the next slice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scorefield.errors import InputError

UNKNOWN = "a.u."  # the unit where a file names none


@dataclass(frozen=True, eq=False)
class Frame:
    """All properties of an image beside its pixels, checked once; images, scans and views carry one.

    Args:
        spacing: mm per spatial axis, or None where it is unknown.
        affine: (4, 4), array indices to RAS+ mm, or None.
        unit: of the pixel values, such as "HU", "1/mm" or "a.u.".
        source: where the image comes from, usually the file; errors name it.
        modality: the kind of scanner as DICOM names it, such as "CT" or "MR"; empty where it is unknown.

    Raises:
        InputError: a spacing that is not positive and finite, an affine that is no finite regular 4x4 matrix with last
            row 0 0 0 1, or the two in conflict.
    """

    spacing: tuple[float, ...] | None = None
    affine: np.ndarray | None = None
    unit: str = UNKNOWN
    source: str = "an image in memory"
    modality: str = ""

    def __post_init__(self) -> None:
        if self.affine is not None:
            object.__setattr__(self, "affine", self._valid_affine())
        if self.spacing is not None:
            object.__setattr__(self, "spacing", self._valid_spacing())

    def for_axes(self, ndim: int) -> Frame:
        """The frame of an image of ``ndim`` spatial axes, its spacing taken from the affine where none is given.

        Raises:
            InputError: a spacing for another number of axes.
        """
        if self.spacing is None:
            return self if self.affine is None else replace(self, spacing=_steps(self.affine, ndim))
        if len(self.spacing) != ndim:
            raise InputError(
                f"{self.source} has spacing {self.spacing}; give one positive number of mm for each of {ndim} axes."
            )
        return self

    def slice(self, index: int, axis: int) -> Frame:
        """The frame of the 2-D image at ``index`` along spatial ``axis`` of a volume; both count from 0."""
        others = [a for a in range(3) if a != axis]
        affine = None
        if self.affine is not None:
            affine = self.affine[:, [*others, axis, 3]]
            affine[:, 3] += index * self.affine[:, axis]
        spacing = None if self.spacing is None else tuple(self.spacing[a] for a in others)
        return replace(self, spacing=spacing, affine=affine, source=f"{self.source} [axis {axis}, slice {index}]")

    def hanging(self, ndim: int) -> tuple[list[int], list[int]]:
        """How radiologists hang an image: the order of its spatial axes, and which of them to flip first.

        The axes run from superior to inferior, anterior to posterior and the patient's right to left, as far as they
        exist.  Without an affine they stay as they are.
        """
        from nibabel.orientations import io_orientation

        if self.affine is None:
            return list(range(ndim)), []
        world, sign = io_orientation(self.affine)[:ndim].T  # nearest patient axis 0-2 and its direction
        order = [int(a) for a in np.argsort(-world)]
        return order, [a for a in order if sign[a] > 0]  # coordinates must fall along each axis: down, back, left

    def axes_of(self, other: Frame, spatial: tuple[int, ...]) -> tuple[list[int], list[int]]:
        """How an image of this frame and size ``spatial`` is turned into ``other``: the order of its axes, the flips.

        The flips come first.  Index i of the other frame is index J i + t of this one, for which J must be a
        permutation with signs, and t the beginning or, where the sign is negative, the end of each axis.

        Raises:
            InputError: no permutation and flips lead from one to the other, to half a pixel; or one has no affine.
        """
        n = len(spatial)
        if self.affine is None or other.affine is None:
            raise InputError(f"{self.source if self.affine is None else other.source} has no affine; set it first.")
        here, there = self.affine[:3, :n], other.affine[:3, :n]
        inverse, step = np.linalg.pinv(here), other.affine[:3, 3] - self.affine[:3, 3]
        turn, start = inverse @ there, inverse @ step
        whole, sizes = np.rint(turn), np.array(spatial)
        order = [int(a) for a in np.abs(whole).argmax(0)]
        ends = np.where(whole.sum(1) < 0, sizes - 1, 0)
        missed = [  # in pixels of this frame, at the far corner
            np.abs(turn - whole) @ sizes[order],
            np.abs(start - ends),
            np.linalg.norm(here @ start - step) / np.linalg.norm(here, axis=0).min(),
        ]
        signs = np.array_equal(np.abs(whole).sum(0), np.ones(n)) and sorted(order) == list(range(n))
        if not signs or max(float(np.max(error)) for error in missed) > 0.5:
            raise InputError(
                f"{self.source} covers another part of the patient, or in other pixels, than {other.source}; resample"
                " it to that grid first."
            )
        return order, [a for a in range(n) if whole[a].sum() < 0]

    def upright(self, spatial: tuple[int, ...]) -> Frame:
        """The frame of an image of size ``spatial`` flipped and permuted as :meth:`hanging` says."""
        if self.affine is None:
            return self
        order, flips = self.hanging(len(spatial))
        affine = self.affine.copy()
        for a in flips:
            affine[:, 3] += (spatial[a] - 1) * affine[:, a]
            affine[:, a] *= -1
        affine = affine[:, [*order, *range(len(spatial), 4)]]
        spacing = None if self.spacing is None else tuple(self.spacing[a] for a in order)
        return replace(self, spacing=spacing, affine=affine)

    def _valid_affine(self) -> np.ndarray:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.array_equal(affine[3], [0, 0, 0, 1]):
            raise InputError(
                f"{self.source} has an affine that is no finite 4x4 matrix with last row 0 0 0 1; correct it."
            )
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise InputError(f"{self.source} has a singular affine; its axes must point in three different directions.")
        return affine

    def _valid_spacing(self) -> tuple[float, ...]:
        assert self.spacing is not None
        spacing = tuple(float(s) for s in self.spacing)
        if not all(np.isfinite(s) and s > 0 for s in spacing):
            raise InputError(f"{self.source} has spacing {spacing}; give one positive number of mm for each axis.")
        if self.affine is not None:
            steps = _steps(self.affine, len(spacing))
            if len(steps) == len(spacing) and not np.allclose(spacing, steps, rtol=1e-3):
                raise InputError(f"{self.source} has spacing {spacing} but its affine steps by {steps}; drop one.")
        return spacing


NOWHERE = Frame()  # of an image without any information


def _steps(affine: np.ndarray, ndim: int) -> tuple[float, ...]:
    """Length in mm of a step along each of the first ``ndim`` axes."""
    return tuple(float(s) for s in np.linalg.norm(affine[:3, : min(ndim, 3)], axis=0))
