r"""SENSE, and its normal operator for k-space that is sampled in whole lines.

A is ``Sample @ Fourier @ Coils``.  Where a line of k-space is measured from end to end or not at all, the transforms
along all axes but that of the lines' position cancel in :math:`A^H R^{-1} A`.  What is left mixes the n pixels along
that axis only, at each position on the other axes by a matrix of its own,

.. math::
    G_{ij} = P_{ij} \sum_c w_c\, \overline{S_{c,i}}\, S_{c,j}, \qquad
    P_{ij} = \frac{1}{n} \sum_{k\ \mathrm{measured}} e^{2\pi i (i - j)(k - \lfloor n/2 \rfloor)/n},

with the maps S and the weight :math:`w_c = 1 / r_c` of noise of variance r_c in coil c.  The cost of a product by these
matrices does not depend on the number of coils.

References:
    Pruessmann et al., "SENSE: sensitivity encoding for fast MRI", Magn. Reson. Med. 1999.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.noise import Gaussian
from scorefield.operators.basic import Sample
from scorefield.operators.coils import Coils
from scorefield.operators.fourier import Fourier
from scorefield.operators.linear import Product

LARGEST = 2**25  # numbers in the matrices of all lines, 256 MB in single precision; more take transforms


class Sense(Product):
    """``Sample(mask) @ Fourier @ Coils(maps)``; complex images (1, *spatial), data (coils, m).

    Args:
        mask: True where k-space is measured, zero frequency at ``n // 2``; broadcasts to the maps, shared by the coils.
        maps: sensitivities (coils, *spatial).
    """

    def __init__(self, mask: Tensor, maps: Tensor):
        coils = Coils(maps)
        super().__init__(Sample(mask, coils.shape_out) @ Fourier(coils.shape_out), coils)
        self.maps = coils.maps
        self.axis, self.lines = _lines(torch.broadcast_to(mask != 0, coils.shape_out)[0])
        self._known: tuple[Tensor, Tensor] | None = None  # weights of the coils, and their matrices

    def weighted_gram(self, noise: Gaussian, x: Tensor) -> Tensor:
        weights = self._weights(noise, x)
        if weights is None:
            return super().weighted_gram(noise, x)
        rows = x.movedim(self.axis + 1, -1)
        mixed = self._matrices(weights, x) @ rows.flatten(1, -2).movedim(0, -1)  # (positions, n, B)
        return mixed.movedim(-1, 0).reshape(rows.shape).movedim(-1, self.axis + 1)

    def _weights(self, noise: Gaussian, like: Tensor) -> Tensor | None:
        """``1 / r_c`` (coils,); None where the matrices are too large, or the noise is not one number a coil."""
        if self.axis == 0 or len(self.lines) * self.maps[0].numel() > LARGEST or noise.variance is None:
            return None
        variance = noise.variance.to(like.device, like.real.dtype)
        if variance.ndim and variance.shape[-1] > 1:
            return None
        return torch.broadcast_to(1 / variance, (len(self.maps), 1)).flatten()

    def _matrices(self, weights: Tensor, like: Tensor) -> Tensor:
        """G of every position, (positions, n, n), of the dtype of the images; made once."""
        if self._known is not None:
            weighed, matrices = self._known
            if matrices.dtype == like.dtype and matrices.device == like.device and torch.equal(weighed, weights):
                return matrices
        maps = self.maps.to(like.device, like.dtype).movedim(self.axis, -1).flatten(1, -2)  # (coils, positions, n)
        seen = weights.reshape(-1, 1, 1) * maps.conj()
        matrices = torch.einsum("cpi,cpj->pij", seen, maps) * _mixing(self.lines).to(like.device, like.dtype)
        self._known = weights, matrices
        return matrices


def _lines(mask: Tensor) -> tuple[int, Tensor]:
    """The axis of the image across which whole lines of k-space are measured, and which; axis 0 where there is none."""
    for axis in range(mask.ndim - 1, -1, -1):
        across = mask.movedim(axis, -1).flatten(0, -2)
        if bool((across == across[:1]).all()):
            return axis + 1, across[0]
    return 0, mask.flatten()


def _mixing(lines: Tensor) -> Tensor:
    """P (n, n), complex128."""
    n = len(lines)
    pixels = torch.eye(n, dtype=torch.complex128, device=lines.device)
    rows = Fourier((1, n))(pixels.unsqueeze(1)).squeeze(1)[:, lines]  # (n, measured): F of each pixel
    return rows.conj() @ rows.mT
