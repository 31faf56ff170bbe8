"""PNG, TIFF, JPEG and BMP through Pillow: photographs and pictures of results.

Reading keeps the stored numbers (0-255, 0-65535 or floats) and their unit is "a.u.".  Color becomes gray with
the luminance weights of ITU-R BT.709, 0.2125 R + 0.7154 G + 0.0721 B (those of ``skimage.color.rgb2gray``).

Writing maps a window (lo, hi) linearly to 8 bits and clips outside it: a picture to look at, not a record of
values.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scorefield.data.image import Image
from scorefield.data.reading import Header, Window, reading, to_pixels
from scorefield.errors import InputError

if TYPE_CHECKING:
    import PIL.Image

suffixes = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
LUMINANCE = (0.2125, 0.7154, 0.0721)  # ITU-R BT.709 primaries
_FIX = "it is damaged, cut short or no picture, so copy or export it again"


def matches(path: Path) -> bool:
    """Whether the name ends in one of ``suffixes``."""
    return path.name.lower().endswith(suffixes)


def read(path: Path) -> Image:
    """The picture in ``path``, gray, (1, rows, columns).

    Raises:
        InputError: damaged, several pages, transparent, color of 16 bits (which Pillow would cut to 8), or a TIFF of
            signed bytes or unsigned 32 bits.
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
    if getattr(picture, "n_frames", 1) > 1:
        raise InputError(f"{path} holds several pages; save each as a file, or the stack as .nii.gz or .npy.")
    if picture.format == "PNG":
        depth, color = path.read_bytes()[24:26]  # fixed places in the IHDR chunk; Pillow cuts 16-bit color to 8
        if depth == 16 and color != 0:
            raise InputError(f"{path} is a 16-bit color picture; save it as 16-bit gray or 8-bit color.")
    if picture.format == "TIFF":
        _refuse_misread(picture, path)
        _refuse_hollow(picture, path)


def _refuse_misread(picture: PIL.Image.Image, path: Path) -> None:
    """Refuse the TIFF samples that Pillow opens and gets wrong: deep color, signed bytes, unsigned 32 bits."""
    tags = picture.tag_v2  # type: ignore[attr-defined]
    depths = tags.get(258, (1,))
    depth, signed = max(depths), 2 in tags.get(339, (1,))
    integer = 3 not in tags.get(339, (1,))
    if (len(depths) >= 3 and depth > 8) or (depth == 8 and signed) or (depth == 32 and integer and not signed):
        kind = f"{depth}-bit {'signed' if signed else 'unsigned'} {'color' if len(depths) >= 3 else 'gray'}"
        raise InputError(f"{path} holds {kind}, which is not read right; save it as 8-bit, 16-bit gray, float or .npy.")


def _refuse_hollow(picture: PIL.Image.Image, path: Path) -> None:
    """Refuse an uncompressed TIFF that holds fewer bytes than its size asks for: Pillow fills in zeros."""
    tags = picture.tag_v2  # type: ignore[attr-defined]
    compression, bits, strips, tiles = (
        tags.get(259, 1),
        tags.get(258, (1,)),
        tags.get(279, ()),
        tags.get(325, ()),
    )
    row = math.ceil(picture.width * sum(bits) / 8)
    if compression == 1 and sum(strips) + sum(tiles) < row * picture.height:
        raise InputError(f"{path} holds fewer bytes than its {picture.size} pixels need; export it again.")


def _gray(picture: PIL.Image.Image, path: Path) -> np.ndarray:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if np.asarray(picture)[..., 3].min() < 255:
            raise InputError(f"{path} has transparent pixels, whose gray value is undefined; flatten it first.")
    if picture.mode == "1" or picture.mode[0] in "LIF":  # bilevel, 8-bit, 16- or 32-bit integer, float
        return np.asarray(picture)
    rgb = np.asarray(picture.convert("RGB"), dtype=np.float64)
    return rgb @ np.array(LUMINANCE)
