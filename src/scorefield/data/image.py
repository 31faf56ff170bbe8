r"""Images in memory: pixels, and the frame that places them in the patient.

``pixels`` is (C, \*spatial), and the spatial axes are the array axes of the file, never reordered by a reader: (rows,
columns) for DICOM slices and photographs, (rows, columns, slices) for a DICOM series, (i, j, k) for NIfTI.
:mod:`scorefield.data.frame` says what spacing and affine mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield.data.frame import NOWHERE, UNKNOWN, Frame
from scorefield.errors import InputError
from scorefield.units import WATER, intensity_of

HOUNSFIELD, ATTENUATION = "HU", "1/mm"  # the units of CT
OPAQUEST = 2.0  # 1/mm: above lead at the energies of CT, less than all but the emptiest image in HU
KEEP: Any = object()  # an argument that was not given: the frame's own value stays


@dataclass(frozen=True, eq=False, init=False)
class Image:
    r"""One 2-D or 3-D image with its geometry, unit and origin.

    Args:
        pixels: (C, \*spatial), float32 or complex64, finite.
        spacing: mm per spatial axis; taken from ``affine`` when None, and None if both are unknown.
        affine: (4, 4), array indices to RAS+ mm, or None.
        unit: of the pixel values, such as "HU", "1/mm" or "a.u.", the default.
        source: where it comes from, usually the file.
        frame: all of these at once; a value that is given beside it replaces the frame's.

    Raises:
        InputError: wrong dtype or number of axes, NaN or infinite pixels, spacing or affine that do not fit.
    """

    pixels: Tensor
    frame: Frame

    def __init__(
        self,
        pixels: Tensor,
        spacing: tuple[float, ...] | None = KEEP,
        *,
        affine: np.ndarray | None = KEEP,
        unit: str = KEEP,
        source: str = KEEP,
        frame: Frame = NOWHERE,
    ):
        pixels = torch.from_numpy(pixels) if isinstance(pixels, np.ndarray) else pixels
        given = {"spacing": spacing, "affine": affine, "unit": unit, "source": source}
        given = {name: value for name, value in given.items() if value is not KEEP}
        frame = replace(frame, **given) if given else frame
        check_pixels(pixels, frame.source)
        self._set(pixels, frame.for_axes(pixels.ndim - 1))

    @classmethod
    def of(cls, pixels: Tensor, frame: Frame) -> Image:
        """The image of pixels and a frame that need no check, because they were made from those of other images."""
        image = cls.__new__(cls)
        image._set(pixels, frame)
        return image

    def _set(self, pixels: Tensor, frame: Frame) -> None:
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "frame", frame)

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Step along each spatial axis in mm, or None."""
        return self.frame.spacing

    @property
    def affine(self) -> np.ndarray | None:
        """(4, 4), array indices to RAS+ mm, or None."""
        return self.frame.affine

    @property
    def unit(self) -> str:
        """Unit of the pixel values."""
        return self.frame.unit

    @property
    def source(self) -> str:
        """Where the image comes from, usually the file."""
        return self.frame.source

    @property
    def spatial(self) -> tuple[int, ...]:
        """Size along each spatial axis."""
        return tuple(self.pixels.shape[1:])

    @property
    def modality(self) -> str:
        """The kind of scanner, "CT", "MR" or another name of DICOM; HU and 1/mm are of CT; empty where unknown."""
        return self.frame.modality or ("CT" if self.unit in (HOUNSFIELD, ATTENUATION) else "")

    def with_unit(self, unit: str | None) -> Image:
        """The image with ``unit`` where its file names none (a.u.); with its own unit otherwise."""
        return Image.of(self.pixels, replace(self.frame, unit=unit)) if unit and self.unit == UNKNOWN else self

    def attenuation(self) -> Image:
        """CT in HU as linear attenuation in 1/mm, never negative; other units pass through unchanged."""
        return self.in_unit(ATTENUATION) if self.unit == HOUNSFIELD else self

    def in_unit(self, unit: str, *, water: float = WATER) -> Image:
        """The image in ``unit``; HU and 1/mm are converted into each other, air and below being 0 in 1/mm.

        An image whose file names no unit is taken to be in ``unit``.

        Args:
            unit: wanted.
            water: linear attenuation of water in 1/mm, with which the values in 1/mm were made.

        Raises:
            InputError: other units, or values that cannot be attenuation in 1/mm.
        """
        if unit == self.unit:
            return self
        frame = replace(self.frame, unit=unit)
        if (self.unit, unit) == (HOUNSFIELD, ATTENUATION):
            return Image.of((water * (1 + self.pixels / 1000)).clamp(min=0), frame)
        if (self.unit, unit) == (ATTENUATION, HOUNSFIELD):
            return Image.of(1000 * (self.pixels / water - 1), frame)
        if self.unit != UNKNOWN:
            raise InputError(f"{self.source} is in {self.unit} and {unit} is needed; save it again in that unit.")
        if unit == ATTENUATION and max(intensity_of(self.pixels), -float(self.pixels.real.min())) > OPAQUEST:
            raise InputError(
                f"{self.source} names no unit and its values are no attenuation in 1/mm (water {WATER}); if they are in"
                " HU say so with --unit HU, or image.with_unit('HU')."
            )
        return Image.of(self.pixels, frame)

    def to_frame(self, frame: Frame) -> Image:
        """The image in the unit and along the axes of ``frame``, to be compared with images there.

        Axes are permuted and flipped, never resampled.  Without an affine on either side they stay as they are.

        Raises:
            InputError: units that cannot be converted, or pixels that lie elsewhere in the patient.
        """
        image = self.in_unit(frame.unit)
        if image.affine is None or frame.affine is None:
            return image
        order, flips = image.frame.axes_of(frame, image.spatial)
        pixels = image.pixels.flip([a + 1 for a in flips]).permute(0, *[a + 1 for a in order]).contiguous()
        return Image.of(pixels, replace(frame, source=self.source))

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
        pixels = self.pixels.select(axis + 1, index).clone(memory_format=torch.contiguous_format)
        return Image.of(pixels, self.frame.slice(index, axis))

    def squeeze(self) -> Image:
        """A volume one slice thick as the 2-D image that it is; any other image as it is."""
        thin = [axis for axis, size in enumerate(self.spatial) if size == 1]
        if len(self.spatial) != 3 or not thin:
            return self
        flat = self.slice(0, thin[-1])
        return Image.of(flat.pixels, replace(flat.frame, source=self.source))

    def upright(self) -> Image:
        """The same image turned for viewing, the way radiologists hang it.

        Axes come in the order superior-inferior, anterior-posterior, right-left, as far as they exist:
        superior or anterior is up, the patient's right is on the left.  Axes are permuted and flipped, never
        resampled.

        Raises:
            InputError: the image has no affine.
        """
        if self.affine is None:
            raise InputError(f"{self.source} has no affine, so which way is up is unknown; set affine first.")
        order, flips = self.frame.hanging(len(self.spatial))
        pixels = self.pixels.flip([a + 1 for a in flips]).permute(0, *[a + 1 for a in order]).contiguous()
        return Image.of(pixels, self.frame.upright(self.spatial))

    def __repr__(self) -> str:
        steps = "unknown spacing" if self.spacing is None else " x ".join(f"{s:g}" for s in self.spacing) + " mm"
        return f"Image({tuple(self.pixels.shape)}, {steps}, {self.unit}, {self.source})"


def check_pixels(pixels: Tensor, source: str) -> None:
    """Raise InputError unless ``pixels`` are finite float32 or complex64, (C, H, W) or (C, X, Y, Z)."""
    if pixels.dtype not in (torch.float32, torch.complex64):
        raise InputError(f"{source} has pixels of dtype {pixels.dtype}; convert them to float32 or complex64.")
    if pixels.ndim not in (3, 4) or 0 in pixels.shape:
        raise InputError(f"{source} has shape {tuple(pixels.shape)}; images are (C, H, W) or (C, X, Y, Z).")
    bad = int((~pixels.isfinite()).sum())
    if bad:
        raise InputError(f"{source} holds {bad} pixels that are NaN or infinite; repair or mask them first.")
