"""Questions asked of an image before it is simulated or learned from, where its file leaves them open.

A file without a unit, a modality or named axes can be taken in several ways, and most of them are wrong.  What looks
like something else than it is taken for is refused, with the word that decides.
"""

from __future__ import annotations

import torch

from scorefield.data.frame import UNKNOWN
from scorefield.data.image import Image
from scorefield.errors import InputError

AIR = (-3100.0, -850.0)  # HU of air, and of what scanners write outside their circle
SHARE = 0.01  # of the pixels
SLENDER = 4.0  # longer over shorter side of a slice; of whole slices of heads and bodies it stays below 3
COLORS = (3, 4)  # RGB, RGBA
FEW, MANY = 0.15, 0.6  # energy in the strongest hundredth of the pixels: below FEW in images, above MANY in k-space


def check_hounsfield(image: Image) -> None:
    """Raise InputError where an image without a unit has the air of CT in HU."""
    if image.unit != UNKNOWN or image.pixels.is_complex():
        return
    air = (image.pixels >= AIR[0]) & (image.pixels <= AIR[1])
    if int(air.sum()) >= SHARE * air.numel():
        raise InputError(
            f"{image.source} has values down to {float(image.pixels.min()):.0f}, as air has in HU, and its file names"
            " no unit; if it is CT say so with --unit HU or unit='HU', else give the unit that it has."
        )


def check_cut(spatial: tuple[int, ...], axis: int, name: str) -> None:
    """Raise InputError where slices of a volume across ``axis`` are no images: slender, or the colors of a picture."""
    if len(spatial) != 3:
        return
    sides = [size for a, size in enumerate(spatial) if a != axis % 3]
    shortest = spatial.index(min(spatial))
    if max(sides) > SLENDER * min(sides) and shortest != axis % 3:
        raise InputError(
            f"{name} has the shape {spatial}, so its slices across axis {axis} are of {sides[0]} x {sides[1]} pixels;"
            f" say --axis {shortest} for the slices across its shortest axis, or --axis {axis} if these are meant."
        )
    if spatial[2] in COLORS and axis % 3 == 2 and name.lower().endswith(".npy"):
        raise InputError(
            f"{name} has the shape {spatial}, as a color picture has; save the picture as PNG, or say --axis 2 if it is"
            f" a volume of {spatial[2]} slices."
        )


def check_image_domain(image: Image) -> None:
    """Raise InputError where a complex 2-D image is k-space: its energy lies at the zero frequency, no image's does."""
    pixels = image.pixels[0]
    if not pixels.is_complex() or pixels.ndim != 2 or min(pixels.shape) < 8:
        return
    peak = divmod(int(pixels.abs().argmax()), pixels.shape[1])
    zero = all(k in (0, n - 1) or abs(k - n // 2) <= 1 for k, n in zip(peak, pixels.shape, strict=True))
    if zero and _strongest(pixels) > MANY and _strongest(torch.fft.fft2(pixels)) < FEW:
        raise InputError(
            f"{image.source} looks like k-space and not like an image; reconstruct it with a scorefield.scans.Cartesian"
            " scan, or give its inverse Fourier transform."
        )


def _strongest(pixels: torch.Tensor) -> float:
    """The part of the energy in the strongest hundredth of the pixels."""
    energy = pixels.abs().double().square().flatten()
    return float(energy.topk(max(1, energy.numel() // 100)).values.sum() / energy.sum().clamp(min=1e-300))
