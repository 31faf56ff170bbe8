"""PNG, TIFF, JPEG and BMP through Pillow: photographs and pictures of results.

Reading keeps the stored numbers (0-255, 0-65535 or floats) and their unit is "a.u.".  Color becomes gray with
the luminance weights of ITU-R BT.709, 0.2125 R + 0.7154 G + 0.0721 B (those of ``skimage.color.rgb2gray``).

Before a picture is decoded its size is compared with that of the file and with the free memory.

Writing maps a window (lo, hi) linearly to 8 bits and clips outside it: a picture to look at, not a record of
values.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scorefield.data.formats.png_layout import check_png
from scorefield.data.formats.tiff_layout import check_tiff
from scorefield.data.image import Image
from scorefield.data.reading import Header, Window, reading, to_pixels
from scorefield.data.room import check_room
from scorefield.errors import InputError

if TYPE_CHECKING:
    import PIL.Image

suffixes = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
LUMINANCE = (0.2125, 0.7154, 0.0721)  # ITU-R BT.709 primaries
GRAYS = ("1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # Pillow's modes: bilevel, 8, 16 and 32 bits, float
COLORS = ("P", "PA", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_FIX = "it is damaged, cut short or no picture, so copy or export it again"


def matches(path: Path) -> bool:
    """Whether the name ends in one of ``suffixes``."""
    return path.name.lower().endswith(suffixes)


def read(path: Path) -> Image:
    """The picture in ``path``, gray, (1, rows, columns).

    Raises:
        InputError: damaged, fewer bytes than its size asks for, several pages, transparent, color of 16 bits (which
            Pillow would cut to 8) or in CIELAB, or a TIFF of signed bytes or unsigned 32 bits.
    """
    from PIL import Image as pillow
    from PIL import ImageOps

    with reading(path, _FIX), pillow.open(path) as picture:
        _refuse(picture, path)
        gray = to_pixels(_gray(ImageOps.exif_transpose(picture), path), path)
    return Image(gray[None], source=str(path))


def header(path: Path) -> Header:
    """Rows and columns, without reading the pixels."""
    from PIL import Image as pillow

    with reading(path, _FIX), pillow.open(path) as picture:
        turned = picture.getexif().get(0x0112, 1) >= 5  # EXIF orientations 5-8 swap rows and columns
        return Header(picture.size if turned else picture.size[::-1])


def write(image: Image, path: Path, window: Window | None = None) -> None:
    """Write an 8-bit gray picture of the window, by default the range of the data.

    Raises:
        InputError: a volume, several channels, complex pixels, or a window that is not lo < hi.
    """
    from PIL import Image as pillow

    if image.pixels.is_complex() or image.pixels.ndim != 3 or len(image.pixels) != 1:
        raise InputError(
            f"A {path.suffix} picture holds one real 2-D channel, not {image!r};"
            " take one slice and channel, and the magnitude of complex pixels."
        )
    pixels = image.pixels[0].numpy(force=True).astype(np.float64)
    lo, hi = (pixels.min(), pixels.max()) if window is None else window
    if window is not None and not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
        raise InputError(f"The window {window} is not a pair of numbers (lo, hi) with lo < hi.")
    levels = np.rint(255 * np.clip((pixels - lo) / max(hi - lo, np.finfo(float).tiny), 0, 1))
    pillow.fromarray(levels.astype(np.uint8)).save(path)


def _refuse(picture: PIL.Image.Image, path: Path) -> None:
    if picture.mode not in GRAYS + COLORS:
        raise InputError(f"{path} has pixels of the kind {picture.mode}, not gray or RGB; save it as PNG.")
    pixels = picture.width * picture.height
    check_room(path, pixels * (8 if picture.mode in GRAYS else 64))  # color is converted in double precision
    if getattr(picture, "n_frames", 1) > 1:
        raise InputError(f"{path} holds several pages; save each as a file, or the stack as .nii.gz or .npy.")
    if picture.format == "PNG":
        check_png(path, path.read_bytes())
    if picture.format == "TIFF":
        check_tiff(path, path.read_bytes(), picture.tag_v2)  # type: ignore[attr-defined]
    if picture.format == "BMP" and picture.info.get("compression"):
        raise InputError(f"{path} is a compressed BMP, in which missing rows are not noticed; save it as PNG.")


def _gray(picture: PIL.Image.Image, path: Path) -> np.ndarray:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if np.asarray(picture)[..., 3].min() < 255:
            raise InputError(f"{path} has transparent pixels, whose gray value is undefined; flatten it first.")
    if picture.mode in GRAYS:
        return np.asarray(picture)
    rgb = np.asarray(picture.convert("RGB"), dtype=np.float64)
    return rgb @ np.array(LUMINANCE)
