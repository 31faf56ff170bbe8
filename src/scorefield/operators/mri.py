r"""Cartesian magnetic resonance imaging as a product: ``A = Sample @ Fourier @ Coils``.

Each coil c sees the image through its complex sensitivity :math:`S_c`, and k-space is measured on a mask:
:math:`y_c = M F (S_c x)`.  The data hold the measured entries only, (coils, m); k-space stored with zeros
elsewhere becomes data by ``Sample(mask, maps.shape)(kspace)``.

References:
    Pruessmann et al., "SENSE: sensitivity encoding for fast MRI", Magn. Reson. Med. 1999.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.basic import Sample, finite, image_shape
from scorefield.operators.fourier import Fourier
from scorefield.operators.linear import Operator, Product, Shape
from scorefield.operators.sense import Sense


class Isometric(Product):
    """``outer @ inner`` with ``inner inner^H = I``: the data covariance is that of ``outer`` alone."""

    def _solve_shifted(self, noise: Tensor, spread: Tensor, v: Tensor) -> Tensor | None:
        return self.outer._solve_shifted(noise, spread, v)


def mri(mask: Tensor, coils: Tensor | None = None) -> Operator:
    """Cartesian MRI of complex images (1, *spatial); data (coils, m), the measured entries of each coil.

    A real image takes one more factor: ``mri(mask, coils) @ RealToComplex(shape)``.

    Args:
        mask: True where k-space is measured, zero frequency at ``n // 2``: (1, *spatial), or anything that
            broadcasts to the coil maps and is shared by the coils.
        coils: sensitivity maps (coils, *spatial); None is a single coil of uniform sensitivity, whose
            ``A A^H = I`` is then used in closed form.

    Raises:
        InputError: a mask that does not fit the maps, or no maps and a mask that is not (1, *spatial).
    """
    mask = torch.as_tensor(mask)
    if coils is not None:
        if mask.ndim == torch.as_tensor(coils).ndim and mask.shape[0] != 1:
            raise InputError(f"The mask has shape {tuple(mask.shape)}; give one mask (1, *spatial) for all coils.")
        return Sense(mask, coils)
    if mask.ndim < 2 or mask.shape[0] != 1:
        raise InputError(f"Without coil maps the mask must be (1, *spatial), got {tuple(mask.shape)}; unsqueeze it.")
    shape = image_shape(tuple(mask.shape))
    return Isometric(Sample(mask, shape), Fourier(shape))


def birdcage(coils: int, shape: Shape, *, radius: float = 1.7) -> Tensor:
    r"""Smooth simulated coil maps (coils, \*spatial), complex64, with :math:`\sum_c |S_c|^2 = 1`.

    Coils sit evenly on a circle around the last two axes; the field of a coil falls off as the inverse distance,
    and its phase is the direction from the coil to the pixel, as for a birdcage array.  Along a third
    axis the coils are uniform.

    Args:
        coils: number of coils.
        shape: shape of one image, (1, *spatial), two or three spatial axes.
        radius: of the circle, in half fields of view; above sqrt(2) no coil meets a pixel, and a larger
            radius gives smoother maps.

    Raises:
        InputError: coils < 1, a shape that is not (1, *spatial), or a radius not above sqrt(2).
    """
    sizes = _single_channel(shape, spatial=2)
    if coils < 1:
        raise InputError(f"A coil array needs at least one coil, got {coils}.")
    if not (math.isfinite(radius) and radius > math.sqrt(2)):
        raise InputError(f"The coil radius is {radius:g}; give it above 1.415 so that no coil lies inside the image.")
    rows, columns = (2 * (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) / n for n in sizes[-2:])
    angle = 2 * math.pi * torch.arange(coils, dtype=torch.float64).reshape(-1, 1, 1) / coils
    # pixel as seen from its coil, in a frame turned with the coil: distance and direction
    offset = torch.complex(*torch.broadcast_tensors(columns, rows.unsqueeze(1)))
    offset = offset * torch.polar(torch.ones_like(angle), -angle) - radius
    maps = offset / offset.abs().square()
    maps = maps / maps.abs().square().sum(0, keepdim=True).sqrt()
    maps = maps.reshape(coils, *[1] * (len(sizes) - 3), *sizes[-2:]).expand(coils, *sizes[1:])
    return maps.to(torch.complex64).contiguous()


def coil_maps(kspace: Tensor, *, width: int = 24) -> Tensor:
    r"""Sensitivity maps from the fully sampled center of a scan's own k-space.

    With :math:`l_c` the image of coil c from the center alone, tapered by a Hann window,

    .. math:: S_c = l_c / \sqrt{\textstyle\sum_k |l_k|^2},

    so that :math:`\sum_c |S_c|^2 = 1`, and the maps take up the part of the image's phase that varies slowly: the
    image keeps only the phase that varies fast.  :func:`~scorefield.operators.espirit` follows the coils further out.

    Args:
        kspace: (coils, \*spatial), complex, zero frequency at ``n // 2``; only its center counts.
        width: of the center along each axis, in samples; all of them must be measured.

    Raises:
        InputError: k-space that is not complex, without a spatial axis, not finite or narrower than the center, or a
            center with entries that are zero in all coils, as those not measured are.

    References:
        McKenzie et al., "Self-calibrating parallel imaging with automatic coil sensitivity extraction", Magn. Reson.
        Med. 2002; Uecker et al., "ESPIRiT", Magn. Reson. Med. 2014.
    """
    kspace = finite(torch.as_tensor(kspace), "k-space")
    images = center_images(measured_center(kspace, width), tuple(kspace.shape[1:]))
    root = images.abs().square().sum(0, keepdim=True).sqrt()
    return images / root.clamp_min(torch.finfo(root.dtype).tiny)


def measured_center(kspace: Tensor, width: int) -> Tensor:
    r"""The central ``width`` samples along each axis of k-space (coils, \*spatial).

    Raises:
        InputError: k-space that is not complex, without a spatial axis or narrower than the center, or a center with
            entries that are zero in all coils, as those not measured are.
    """
    shape = image_shape(tuple(kspace.shape), spatial=1)
    if not kspace.is_complex() or width < 1 or min(shape[1:]) < width:
        raise InputError(
            f"Coil maps need complex k-space (coils, *spatial) of at least {max(width, 1)} samples along each axis, got"
            f" {kspace.dtype} of shape {tuple(shape)}."
        )
    center = kspace[_middle(shape[1:], width)]
    if bool((center == 0).all(0).any()):
        raise InputError(
            f"The central {width} samples of k-space are not all measured; give a smaller width, or roll the zero"
            " frequency to n // 2."
        )
    return center


def center_images(center: Tensor, shape: Shape) -> Tensor:
    r"""What the center of k-space (coils, width, ..., width) alone shows of each coil, tapered by a Hann window.

    Args:
        center: as :func:`measured_center` gives it.
        shape: of the images, (\*spatial).
    """
    width = center.shape[-1]
    taper = torch.hann_window(width + 2, periodic=False, dtype=center.real.dtype, device=center.device)[1:-1]
    for axis in range(len(shape)):
        center = center * taper.reshape(-1, *[1] * (len(shape) - 1 - axis))
    low = torch.zeros(len(center), *shape, dtype=center.dtype, device=center.device)
    low[_middle(shape, width)] = center
    return Fourier(tuple(low.shape)).H(low.unsqueeze(0)).squeeze(0)


def _middle(sizes: Shape, width: int) -> tuple[slice, ...]:
    return (slice(None), *(slice(n // 2 - width // 2, n // 2 - width // 2 + width) for n in sizes))


def cartesian_mask(
    shape: Shape,
    acceleration: float,
    *,
    center_fraction: float = 0.08,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Random phase-encode lines and a fully sampled center, along the last axis: boolean (1, *spatial).

    Exactly ``round(n / acceleration)`` of the n lines are measured, the central ``round(n *
    center_fraction)`` of them around the zero frequency ``n // 2``, the others at random without replacement.

    Args:
        shape: shape of one image, (1, *spatial).
        acceleration: factor >= 1 by which the scan is shorter.
        center_fraction: part of all lines in the center, in [0, 1].  Default from fastMRI at fourfold
            acceleration.
        generator: source of the random lines.

    Raises:
        InputError: acceleration < 1, a fraction outside [0, 1], no line left, or a center larger than the
            budget.

    References:
        Zbontar et al., "fastMRI", 2018, arXiv:1811.08839.
    """
    sizes = _single_channel(shape, spatial=1)
    if not (math.isfinite(acceleration) and acceleration >= 1):
        raise InputError(f"The acceleration is {acceleration:g}; give a finite factor >= 1.")
    if not 0 <= center_fraction <= 1:
        raise InputError(f"The center fraction is {center_fraction:g}; give a part of all lines between 0 and 1.")
    n = sizes[-1]
    lines, center = round(n / acceleration), round(n * center_fraction)
    if lines < 1 or center > lines:
        raise InputError(
            f"An acceleration of {acceleration:g} leaves {lines} of {n} lines but the center takes {center};"
            " lower the acceleration or the center fraction."
        )
    first = n // 2 - center // 2
    chosen = torch.zeros(n, dtype=torch.bool)
    chosen[first : first + center] = True
    others = (~chosen).nonzero().squeeze(1)
    chosen[others[torch.randperm(len(others), generator=generator)[: lines - center]]] = True
    return chosen.expand(sizes).clone()


def _single_channel(shape: Shape, *, spatial: int) -> Shape:
    sizes = image_shape(shape, spatial=spatial)
    if sizes[0] != 1:
        raise InputError(f"An MR image has one channel: give (1, *spatial), got {sizes}.")
    return sizes
