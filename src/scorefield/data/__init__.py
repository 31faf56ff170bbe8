"""Reading and writing of images.

``read`` and ``write`` choose the format by name; :mod:`scorefield.data.formats` lists them.  The axis and
coordinate conventions are in :mod:`scorefield.data.image`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from scorefield.data import formats
from scorefield.data.frame import Frame
from scorefield.data.image import Image
from scorefield.data.images import Images
from scorefield.data.normalized import Normalized
from scorefield.data.reading import Window
from scorefield.data.sample_scans import ct_slice, mr_slice, skimage_images
from scorefield.data.sources import PathLike, expand
from scorefield.errors import InputError
from scorefield.store.atomic import atomic_files

__all__ = [
    "Frame",
    "Image",
    "Images",
    "Normalized",
    "read",
    "read_image",
    "write",
    "ct_slice",
    "mr_slice",
    "skimage_images",
]


class HasFrame(Protocol):
    """An Image or a Scan, for ``write(..., like=)``."""

    @property
    def spatial(self) -> tuple[int, ...]: ...

    @property
    def frame(self) -> Frame: ...


def read(path: PathLike | Sequence[PathLike]) -> Image | Images:
    """Read a file, folder, glob or list.

    One image file or one DICOM series (a folder or glob of slices) is an :class:`Image`, several are
    :class:`Images`.  A list is always Images.

    Raises:
        InputError: missing, unknown, damaged, or with NaN or infinite pixels.
    """
    if isinstance(path, Sequence) and not isinstance(path, str):
        return Images(path)
    place = Path(path).expanduser()
    if place.is_file():
        return formats.format_of(place, formats.FORMATS).read(place)
    sources = expand(path)
    return sources[0].read() if len(sources) == 1 else Images(path)


def read_image(path: PathLike) -> Image:
    """Read the one image in a file, or in a folder of one DICOM series.

    Raises:
        InputError: as :func:`read`; several images, or raw data.
    """
    content = read(path)
    if isinstance(content, Image):
        return content
    raise InputError(f"{path} holds {content!r}; give the file of one image.")


def write(image: Image | Tensor, path: PathLike, *, like: HasFrame | None = None, window: Window | None = None) -> Path:
    r"""Write an image in the format of the suffix, whole or not at all.

    Args:
        image: an Image, or a tensor (C, \*spatial) or, for ``like`` or two axes, (\*spatial).
        path: ``.nii``, ``.nii.gz``, ``.hdr`` with its ``.img`` (values and geometry), ``.npy`` (values), ``.png`` and
            others (a picture).
        like: Image or Scan whose spacing, affine and unit the result takes.
        window: (lo, hi) shown as black and white in a picture; the range of the data by default.

    Returns:
        The path written.

    Raises:
        InputError: unknown suffix, a tensor that does not fit ``like``, or a place that cannot be written.
    """
    target = Path(path).expanduser()
    chosen = formats.format_of(target, formats.FORMATS)
    image, place = _as_image(image, like), Path(os.path.realpath(target))
    try:
        with atomic_files(place.parent) as folder:
            chosen.write(image, folder / place.name, window)
    except OSError as error:
        raise InputError(f"Cannot write {path} ({error.strerror or error}); choose another place.") from error
    return target


def _as_image(image: Image | Tensor, like: HasFrame | None) -> Image:
    pixels, source = (image.pixels, image.source) if isinstance(image, Image) else (_pixels(image), "a tensor")
    if like is None:
        if isinstance(image, Image):
            return image
        return Image(pixels[None] if pixels.ndim == 2 else pixels)
    spatial = tuple(like.spatial)
    if tuple(pixels.shape) == spatial:
        pixels = pixels[None]
    if tuple(pixels.shape[1:]) != spatial:
        raise InputError(
            f"An image of shape {tuple(pixels.shape)} cannot take the geometry of one with spatial shape"
            f" {spatial}; give 'like' the image that it was made from."
        )
    return Image(pixels, frame=like.frame, source=source)


def _pixels(tensor: Tensor) -> Tensor:
    tensor = torch.as_tensor(tensor).detach().cpu()
    return tensor.to(torch.complex64 if tensor.is_complex() else torch.float32)
