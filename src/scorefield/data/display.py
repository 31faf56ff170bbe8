"""Pictures of tensors: planes, gray windows, colors and inline images."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scorefield.errors import InputError

Plane = NDArray[np.float64]
Window = tuple[float, float]
WIDEST = 340  # CSS pixels of a panel, before zooming stops


def plane(image: Tensor) -> Plane:
    """The picture of one image (C, *spatial): first channel, magnitude if complex, central slice of a volume.

    Raises:
        InputError: fewer than two or more than three spatial axes.
    """
    image = image.detach().cpu()
    if image.ndim not in (3, 4):
        raise InputError(f"A report shows images (C, H, W) or (C, D, H, W), got shape {tuple(image.shape)}.")
    first = (image.abs() if image.is_complex() else image)[0].double().numpy()
    return first[first.shape[0] // 2] if first.ndim == 3 else first


def plane_note(shape: tuple[int, ...], is_complex: bool) -> str:
    """The part of such images that :func:`plane` shows, in words; empty if it shows all."""
    notes = ["magnitude"] if is_complex else []
    if len(shape) == 4:
        notes.append(f"slice {shape[1] // 2 + 1} of {shape[1]}")
    if shape[0] > 1:
        notes.append(f"channel 1 of {shape[0]}")
    return ", ".join(notes)


def default_window(picture: Plane) -> Window:
    """Gray window of a picture: from 0, or its 0.5 % quantile where it is negative, to its 99.8 % one."""
    low, high = (float(q) for q in np.quantile(picture, (0.005, 0.998)))
    low = low if low < 0 else 0.0
    return (low, high) if high > low else (low, low + 1.0)


def top(*pictures: Plane) -> float:
    """A round upper end, >= the 99.5 % quantile of the magnitudes, for a color scale that starts at zero."""
    value = max(float(np.quantile(np.abs(p), 0.995)) for p in pictures)
    if not value > 0:
        return 1.0
    unit = 10 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * unit >= value * (1 - 1e-9))


def zoom(shape: tuple[int, ...]) -> int:
    """The largest whole magnification at which so many pixels are at most ``WIDEST`` wide and high."""
    return max(1, WIDEST // max(shape))


def png(picture: Plane, window: Window, colormap: str = "gray") -> str:
    """A data URI of the picture, one pixel a sample, ``window`` spread over the color map."""
    from matplotlib import colormaps
    from PIL import Image

    low, high = window
    level = np.clip((picture - low) / (high - low), 0, 1)
    if colormap == "gray":
        return _uri(Image.fromarray(np.round(255 * level).astype(np.uint8)))
    return _uri(Image.fromarray(np.round(255 * colormaps[colormap](level)[..., :3]).astype(np.uint8)))


def scale_bar(colormap: str) -> str:
    """A data URI of the color map from left to right."""
    return png(np.linspace(0, 1, 256)[None], (0.0, 1.0), colormap)


def digits(value: float) -> str:
    """A number for people: three significant digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _uri(image: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)  # type: ignore[attr-defined]
    return embed(buffer.getvalue())


def embed(data: bytes) -> str:
    """PNG bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
