r"""Images in memory: pixels with the geometry of the patient.

**Axes.** ``pixels`` is (C, \*spatial), and the spatial axes are the array axes of the file, never reordered by a
reader: (rows, columns) for DICOM slices and photographs, (rows, columns, slices) for a DICOM series, (i, j, k) for
NIfTI.  ``spacing[a]`` is the step along spatial axis ``a`` in mm, and ``affine`` maps array indices to patient
coordinates in mm, x to the patient's left-to-Right, y to Anterior, z to Superior (RAS+, as in NIfTI):

.. math:: (x, y, z, 1)^T = \mathrm{affine} \, (i, j, k, 1)^T .

A 2-D image keeps a 4x4 affine; its index k is 0 and the third column is the step to the next slice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.units import WATER

UNKNOWN = "a.u."  # a unit that the file does not tell


@dataclass(frozen=True, eq=False)
class Image:
    r"""One 2-D or 3-D image with its geometry, unit and origin.

    Args:
        pixels: (C, \*spatial), float32 or complex64, finite.
        spacing: mm per spatial axis; taken from ``affine`` when None, and None when nothing is known.
        affine: (4, 4), array indices to RAS+ mm, or None.
        unit: of the pixel values, such as "HU", "1/mm" or "a.u.".
        source: where it comes from, usually the file.

    Raises:
        InputError: wrong dtype or number of axes, NaN or infinite pixels, spacing or affine that do not fit.
    """

    pixels: Tensor
    spacing: tuple[float, ...] | None = None
    affine: np.ndarray | None = field(default=None, kw_only=True)
    unit: str = field(default=UNKNOWN, kw_only=True)
    source: str = field(default="an image in memory", kw_only=True)

    def __post_init__(self):
        check_pixels(self.pixels, self.source)
        ndim = len(self.spatial)
        if self.affine is not None:
            object.__setattr__(self, "affine", check_affine(self.affine, self.source))
        spacing = self.spacing
        if self.affine is not None:
            steps = tuple(float(s) for s in np.linalg.norm(self.affine[:3, :ndim], axis=0))
            spacing = steps if spacing is None else spacing
            if len(spacing) == ndim and not np.allclose(spacing, steps, rtol=1e-3):
                raise InputError(f"{self.source} has spacing {spacing} but its affine steps by {steps}; drop one.")
        object.__setattr__(self, "spacing", check_spacing(spacing, ndim, self.source))

    @property
    def spatial(self) -> tuple[int, ...]:
        """Size along each spatial axis."""
        return tuple(self.pixels.shape[1:])

    def told(self, unit: str | None) -> Image:
        """The image with ``unit`` if it has none of its own (a.u.)."""
        return replace(self, unit=unit) if unit and self.unit == UNKNOWN else self

    def attenuation(self) -> Image:
        """CT in HU as linear attenuation in 1/mm, never negative; other units pass through unchanged."""
        if self.unit != "HU":
            return self
        return replace(self, pixels=(WATER * (1 + self.pixels / 1000)).clamp(min=0), unit="1/mm")

    def slice(self, index: int, axis: int) -> Image:
        """The 2-D image at ``index`` along spatial ``axis`` of a volume; the other axes keep their order.

        Raises:
            InputError: this is no volume, or index or axis lie outside it.
        """
        spatial = self.spatial
        if len(spatial) != 3 or not -3 <= axis < 3:
            raise InputError(f"Cannot slice {self.source} of shape {spatial} along axis {axis}; give a volume and 0-2.")
        axis %= 3
        if not -spatial[axis] <= index < spatial[axis]:
            raise InputError(f"{self.source} has {spatial[axis]} slices along axis {axis}, so none is number {index}.")
        index %= spatial[axis]
        kept = [a for a in range(3) if a != axis]
        affine = None
        if self.affine is not None:
            affine = self.affine[:, [*kept, axis, 3]]
            affine[:, 3] += index * self.affine[:, axis]
        return replace(
            self,
            pixels=self.pixels.select(axis + 1, index).clone(memory_format=torch.contiguous_format),
            spacing=None if self.spacing is None else tuple(self.spacing[a] for a in kept),
            affine=affine,
            source=f"{self.source} [axis {axis}, slice {index}]",
        )

    def squeeze(self) -> Image:
        """A volume one slice thick as the 2-D image that it is; any other image as it is."""
        thin = [axis for axis, size in enumerate(self.spatial) if size == 1]
        if len(self.spatial) != 3 or not thin:
            return self
        return replace(self.slice(0, thin[-1]), source=self.source)

    def upright(self) -> Image:
        """The same image turned for viewing, the way radiologists hang it.

        Axes come in the order superior-inferior, anterior-posterior, right-left, whichever are there:
        superior or anterior is up, the patient's right is on the left.  Axes are permuted and flipped, never
        resampled.

        Raises:
            InputError: the image has no affine.
        """
        if self.affine is None:
            raise InputError(f"{self.source} has no affine, so which way is up is unknown; set affine first.")
        ndim = len(self.spatial)
        order, flips = hanging(self.affine, ndim)
        affine = self.affine.copy()
        for a in flips:
            affine[:, 3] += (self.spatial[a] - 1) * affine[:, a]
            affine[:, a] *= -1
        affine = affine[:, [*order, *range(ndim, 4)]]
        pixels = self.pixels.flip([a + 1 for a in flips]).permute(0, *[a + 1 for a in order]).contiguous()
        spacing = None if self.spacing is None else tuple(self.spacing[a] for a in order)
        return replace(self, pixels=pixels, spacing=spacing, affine=affine)

    def __repr__(self) -> str:
        steps = "unknown spacing" if self.spacing is None else " x ".join(f"{s:g}" for s in self.spacing) + " mm"
        return f"Image({tuple(self.pixels.shape)}, {steps}, {self.unit}, {self.source})"


def hanging(affine: np.ndarray, ndim: int) -> tuple[list[int], list[int]]:
    """How radiologists hang an image: its spatial axes from superior to inferior, anterior to posterior and the
    patient's right to left, whichever are there, and which of them to flip first."""
    from nibabel.orientations import io_orientation

    world, sign = io_orientation(affine)[:ndim].T  # nearest patient axis 0-2 and its direction
    order = [int(a) for a in np.argsort(-world)]
    return order, [a for a in order if sign[a] > 0]  # coordinates must fall along each axis: down, back, to the left


def check_pixels(pixels: Tensor, source: str) -> None:
    """Raise InputError unless ``pixels`` are finite float32 or complex64, (C, H, W) or (C, X, Y, Z)."""
    if pixels.dtype not in (torch.float32, torch.complex64):
        raise InputError(f"{source} has pixels of dtype {pixels.dtype}; convert them to float32 or complex64.")
    if pixels.ndim not in (3, 4) or 0 in pixels.shape:
        raise InputError(f"{source} has shape {tuple(pixels.shape)}; images are (C, H, W) or (C, X, Y, Z).")
    bad = int((~pixels.isfinite()).sum())
    if bad:
        raise InputError(f"{source} holds {bad} pixels that are NaN or infinite; repair or mask them first.")


def check_spacing(spacing: tuple[float, ...] | None, ndim: int, source: str) -> tuple[float, ...] | None:
    """``spacing`` as floats.

    Raises:
        InputError: not one positive finite number for each axis.
    """
    if spacing is None:
        return None
    spacing = tuple(float(s) for s in spacing)
    if len(spacing) != ndim or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise InputError(f"{source} has spacing {spacing}; give one positive number of mm for each of {ndim} axes.")
    return spacing


def check_affine(affine: np.ndarray, source: str) -> np.ndarray:
    """``affine`` as a float64 copy.

    Raises:
        InputError: no finite, regular 4x4 matrix with last row 0 0 0 1.
    """
    affine = np.array(affine, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.array_equal(affine[3], [0, 0, 0, 1]):
        raise InputError(f"{source} has an affine that is no finite 4x4 matrix with last row 0 0 0 1; correct it.")
    if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError(f"{source} has a singular affine; its axes must point in three different directions.")
    return affine
