"""Magnetic resonance on a Cartesian grid: k-space samples of one or several coils."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise import White
from scorefield.operators import RealToComplex, birdcage, cartesian_mask, mri
from scorefield.operators.linear import Operator
from scorefield.scans.readouts import Readouts, lines_of
from scorefield.scans.scan import Scan


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
        InputError: as :class:`Scan`; real data, or a mask that holds other numbers than 0 and 1 or does not fit the
            coil maps.
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
        self._set("mask", mask)
        mri(mask, self.coils)
