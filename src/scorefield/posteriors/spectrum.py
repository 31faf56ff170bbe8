r"""The whitened operator's singular values: functions of :math:`B B^H`, :math:`B = R^{-1/2} A`.

Spectral methods treat every singular direction by its own signal-to-noise ratio d, a singular value of B.  With
:math:`B B^H = W \mathrm{diag}(d^2) W^T` in the real inner product (a complex number counts as two),
:math:`B^H f(B B^H) r` is all they need.  W is known for two kinds of operator:

- the identity, where :math:`B B^H` is diagonal in the data themselves (masks, masked Fourier samples of one coil,
  block averages): its diagonal is :math:`B B^H 1`, and one product with random data tells whether that is all of it;
- small dense operators, by an eigendecomposition of at most :data:`LARGEST` numbers.

References:
    Kawar, Vaksman, Elad, NeurIPS 2021, arXiv 2105.14951 (SNIPS), from where DDRM's and DDNM+'s formulas come.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import normal_like
from scorefield.rows import as_rows

LARGEST = 2048  # real numbers of data; an eigendecomposition of this size takes seconds
CHUNK = 64  # unit data sent through the operator together


class Spectrum:
    """Singular values of ``R^-1/2 A`` and the directions that belong to them, for one measurement.

    Args:
        measurement: operator and noise; the data themselves are not used, only their size and kind.

    Raises:
        InputError: ``A A^H`` is not diagonal and the data are more than :data:`LARGEST` numbers.
    """

    def __init__(self, measurement: Measurement):
        self.measurement = measurement
        y = measurement.y.to(torch.complex128 if measurement.y.is_complex() else torch.float64)
        ones = self._data(torch.ones_like(as_rows(y)), y)
        probe = normal_like(y, torch.Generator(y.device).manual_seed(0))
        values, found = as_rows(self._gram(ones)), as_rows(self._gram(probe))
        rest = (found - values * as_rows(probe)).abs().max()
        basis = None
        if bool(rest > 1e-6 * found.abs().max()):
            values, basis = self._dense(y)
        self.values, self.basis = values.clamp(min=0), basis

    def scale(self, function: Callable[[Tensor], Tensor], whitened: Tensor) -> Tensor:
        """``f(B B^H) r`` for whitened data r (B, *data); f takes the singular values d, elementwise."""
        rows = as_rows(whitened)
        found = function(self.values.sqrt()).to(rows)
        if self.basis is None:
            return self._data(found * rows, whitened)
        basis = self.basis.to(rows)
        return self._data((rows @ basis * found) @ basis.T, whitened)

    def whiten(self, y: Tensor) -> Tensor:
        """``R^-1/2 y`` in the precision of y."""
        return y / self.measurement.noise.variance.to(y.real.dtype).to(y.device).sqrt()

    def pull(self, whitened: Tensor) -> Tensor:
        """``B^H r``, an image."""
        return self.measurement.operator.H(self.whiten(whitened))

    def _gram(self, whitened: Tensor) -> Tensor:
        return self.whiten(self.measurement.operator(self.pull(whitened)))

    def _dense(self, y: Tensor) -> tuple[Tensor, Tensor]:
        size = as_rows(y).shape[1]
        if size > LARGEST:
            raise InputError(
                f"The singular values of {self.measurement.operator} are unknown and its {size} numbers of data are"
                f" too many (over {LARGEST}) to compute them; use DiffPIR, or DDNM if the data have little noise."
            )
        units = torch.eye(size, dtype=y.real.dtype, device=y.device).split(CHUNK)
        gram = torch.cat([as_rows(self._gram(self._data(rows, y))) for rows in units])
        values, basis = torch.linalg.eigh((gram + gram.T) / 2)
        return values.unsqueeze(0), basis

    def _data(self, rows: Tensor, like: Tensor) -> Tensor:
        shape = (len(rows), *like.shape[1:])
        return torch.view_as_complex(rows.reshape(*shape, 2)) if like.is_complex() else rows.reshape(shape)


def over_square(gain: Tensor, d: Tensor) -> Tensor:
    """``gain / d^2`` where d is a singular value, 0 in the null space: what turns data into a change of the image."""
    seen = d > 1e-6 * d.max()
    return torch.where(seen, gain / torch.where(seen, d, 1).square(), 0)
