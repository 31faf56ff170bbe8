"""Magnetic resonance on a Cartesian grid: k-space samples of one or several coils."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise import White
from scorefield.operators import RealToComplex, birdcage, cartesian_mask, mri
from scorefield.operators.linear import Operator
from scorefield.scans.readouts import Readouts, lines_of
from scorefield.scans.scan import Scan

ZEROS = 0.01  # of the samples: noise alone has next to none
OUTSTANDING = 10.0  # times the mean energy, or that of the center


@dataclass(frozen=True, eq=False, repr=False)
class Cartesian(Scan):
    r"""Samples of k-space on a Cartesian grid, of an image (1, \*spatial).

    Args:
        data: (coils, m), complex: the m measured entries of each coil in the order of the mask, ``kspace[:, mask[0]]``.
        noise: the law of the data; ``Colored`` where coils are correlated.
        frame: of the image.
        mask: where k-space is measured, True or 1, zero frequency at ``n // 2``: (1, \*spatial), or anything that
            broadcasts to it where there are coil maps.
        coils: complex sensitivities (coils, \*spatial), without unit; None is one coil of uniform sensitivity.
        real: whether the image is real, all of its phase being in the coil maps; else it is complex.

    Raises:
        InputError: as :class:`Scan`; real data, a mask that holds other numbers than 0 and 1 or does not fit the coil
            maps, several coils without maps, samples that are zero in each coil, or zero frequency at another place.
    """

    mask: Tensor
    coils: Tensor | None = None
    real: bool = field(default=False, kw_only=True)

    @classmethod
    def example(cls) -> Cartesian:
        generator, shape = torch.Generator().manual_seed(0), (1, 6, 8)
        mask = cartesian_mask(shape, 2, generator=generator)
        data = torch.randn(3, int(mask.sum()), generator=generator, dtype=torch.complex64)
        return cls(data, mask, birdcage(3, shape), noise=White(0.1))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.mask.shape)

    @property
    def shape_of_data(self) -> tuple[int, ...]:
        return (1 if self.coils is None else len(self.coils), int(self.mask.sum()))

    def operator(self) -> Operator:
        operator = mri(self.mask, self.coils)
        return operator @ RealToComplex(self.shape) if self.real else operator

    @property
    def readouts(self) -> Readouts:
        """Lines of k-space; that of the zero frequency is needed."""
        labels, center, mask_of = lines_of(self.mask)
        return Readouts("lines of k-space", 1, labels, center, lambda chosen: {"mask": mask_of(chosen)})

    def _check(self) -> None:
        if not self.data.is_complex():
            raise InputError(f"K-space is complex and the scan's data are {self.data.dtype}; give both components.")
        mask = torch.as_tensor(self.mask)
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise InputError("The scan's mask holds other numbers than 0 and 1; give True where k-space is measured.")
        mask = mask != 0
        if self.coils is not None:
            try:
                mask = mask.expand(1, *self.coils.shape[1:])
            except RuntimeError:
                raise InputError(
                    f"The mask has shape {tuple(mask.shape)} and the coil maps {tuple(self.coils.shape)}; give one mask"
                    " (1, *spatial) for all coils."
                ) from None
        if self.coils is None and len(self.data) > 1:
            raise InputError(
                f"The scan has {len(self.data)} coils and no coil maps; give coils=sf.operators.coil_maps(kspace)."
            )
        self._set("mask", mask)
        mri(mask, self.coils)
        if tuple(self.data.shape) == self.shape_of_data:
            _check_zeros(self.data)
            _check_center(self.data, mask)


def _check_zeros(data: Tensor) -> None:
    """Refuse zeros that stand for what was not measured; a scan of zeros only is one before it is taken."""
    zeros = int((data == 0).all(0).sum())
    if ZEROS * data.shape[-1] <= zeros < data.shape[-1]:
        raise InputError(
            f"{zeros} of {data.shape[-1]} samples are exactly zero in each coil, as k-space is stored where nothing was"
            " measured; give a mask of the others: kspace.abs().sum(0, keepdim=True) > 0."
        )


def _check_center(data: Tensor, mask: Tensor) -> None:
    """Refuse k-space with its energy around index 0 of an axis and not around ``n // 2``."""
    shape = tuple(mask.shape[1:])
    power = torch.zeros(shape, dtype=torch.float64)
    power[mask[0].cpu()] = data.detach().abs().square().sum(0).double().cpu()
    places = [tuple(0 if bit else n // 2 for bit, n in zip(bits, shape, strict=True)) for bits in _corners(len(shape))]
    center, *others = (_around(power, place) for place in places)
    largest = max(range(len(others)), key=others.__getitem__)
    if others[largest] > OUTSTANDING * max(center, float(power.sum()) / int(mask.sum())):
        raise InputError(
            f"The energy of k-space is around index {places[largest + 1]} and not around {places[0]}, where zero"
            " frequency is to be; apply torch.fft.fftshift over the spatial axes to k-space and mask."
        )


def _corners(axes: int) -> list[tuple[int, ...]]:
    """Which axes have zero frequency at index 0; none is the first."""
    return list(itertools.product((0, 1), repeat=axes))


def _around(power: Tensor, place: tuple[int, ...]) -> float:
    """Mean of the 3 x 3 (x 3) entries around a place, over the edges too."""
    shifts = tuple(1 - at for at in place)
    near = power.roll(shifts, tuple(range(power.ndim)))[(slice(3),) * power.ndim]
    return float(near.mean())
