r"""ESPIRiT: coil maps as eigenvectors, pixel by pixel, of a projection that the center of k-space states.

Neighborhoods of k-space over all coils lie in a space of few dimensions.  With V an orthonormal basis of it, from the
singular value decomposition of the matrix of all neighborhoods of the center, and :math:`v_k(r)` the image of basis
vector k at pixel r (one entry a coil),

.. math:: G(r) = \frac{1}{n} \sum_k v_k(r) v_k(r)^H, \qquad G(r) S(r) = S(r),

where n is the number of samples of a neighborhood.  The maps S are the eigenvectors of G of eigenvalue 1: one where one
image explains the data, several where several images lie on each other (a field of view smaller than the object,
motion), none where there is no signal.

:math:`G_{ij}(r)` is a trigonometric polynomial, whose coefficients are sums over the pairs of samples of a neighborhood
that lie equally far apart.  This costs one transform for each pair of coils, however many basis vectors there are.

References:
    Uecker et al., "ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI", Magn. Reson. Med. 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import power_of_two
from scorefield.operators.basic import finite
from scorefield.operators.coils import Coils
from scorefield.operators.fourier import Fourier
from scorefield.operators.linear import Operator
from scorefield.operators.mix import Mix
from scorefield.operators.mri import center_images, measured_center


@dataclass(frozen=True, eq=False)
class EigenMaps:
    r"""Sets of coil maps, that of the largest eigenvalue first.

    Args:
        maps: (sets, coils, rows, columns), complex, :math:`\sum_c |S_c|^2 = 1` in each pixel of each set.
        eigenvalues: (sets, rows, columns), in [0, 1] but for rounding; 1 where the set explains the center of k-space.
    """

    maps: Tensor
    eigenvalues: Tensor

    def above(self, crop: float = 0.95) -> Tensor:
        """The maps, zero where their eigenvalue is not above ``crop``: (sets, coils, rows, columns)."""
        return self.maps * (self.eigenvalues > crop).unsqueeze(1)

    def coils(self, crop: float = 0.95) -> Operator:
        r"""All sets as one operator, from images (sets, \*spatial) to coils: :math:`y_c = \sum_j S_{jc} x_j`."""
        maps = self.above(crop)
        shape = (len(maps), *maps.shape[2:])
        first, *others = (Coils(m) @ Mix(row[None], shape) for m, row in zip(maps, torch.eye(len(maps)), strict=True))
        return sum(others, first)


def espirit(kspace: Tensor, *, width: int = 24, kernel: int = 6, threshold: float = 0.02, sets: int = 1) -> EigenMaps:
    r"""Coil maps by ESPIRiT from the fully sampled center of a scan's own k-space.

    The phase of a map, which no eigenvector knows, is that of :func:`~scorefield.operators.coil_maps`: the image that
    the maps give from the center alone is real and not negative.  Coils should be white
    (:class:`~scorefield.operators.Mix` by :math:`C^{-1/2}`): the decomposition takes their noise to be equal.

    Args:
        kspace: (coils, rows, columns), complex, zero frequency at ``n // 2``; only its center counts.
        width: of the center along each axis, in samples; all of them must be measured.
        kernel: width of a neighborhood, in samples.
        threshold: singular values below this part of the largest one are noise.
        sets: number of sets of maps, at most the coils.

    Raises:
        InputError: k-space that is not complex, not of two spatial axes, not finite or narrower than the center; a
            center with entries that are zero in all coils; a kernel, a threshold or a number of sets out of its range.
    """
    kspace = finite(torch.as_tensor(kspace), "k-space")
    _check(kspace, width, kernel, threshold, sets)
    center = measured_center(kspace, width).to(torch.complex128)
    center = center / power_of_two(center.abs().amax().reshape(1))
    values, vectors = torch.linalg.eigh(_projection(center, kernel, threshold, kspace.shape[1:]))
    maps = vectors.movedim((-1, -2), (0, 1)).flip(0)[:sets]
    low = center_images(center, kspace.shape[1:])
    along = (maps.conj() * low).sum(1, keepdim=True)  # the image of the center, with the phase that eigh chose
    maps = maps * torch.where(along == 0, 1, torch.sgn(along))
    return EigenMaps(maps.to(kspace.dtype), values.movedim(-1, 0).flip(0)[:sets].to(kspace.real.dtype))


def _projection(center: Tensor, kernel: int, threshold: float, shape: torch.Size) -> Tensor:
    """G, (rows, columns, coils, coils)."""
    coils, side = len(center), 2 * kernel - 1
    pieces = center.unfold(1, kernel, 1).unfold(2, kernel, 1)
    rows = pieces.permute(1, 2, 3, 4, 0).reshape(-1, kernel**2 * coils)
    _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
    basis = basis[sizes > threshold * sizes[0]]
    pairs = (basis.mT @ basis.conj()).reshape(kernel, kernel, coils, kernel, kernel, coils)
    lags = torch.zeros(side, side, coils, coils, dtype=center.dtype, device=center.device)
    for i in range(kernel):  # sample (i, j) of one coil with all samples of the other, i + kernel - 1 - i' apart
        for j in range(kernel):
            lags[i : i + kernel, j : j + kernel] += pairs[i, j].permute(1, 2, 0, 3).flip(0, 1)
    spectrum = lags.permute(2, 3, 0, 1) / kernel**2
    pad = [edge for n in reversed(shape) for edge in (n // 2 - kernel + 1, n - n // 2 - kernel)]
    padded = torch.nn.functional.pad(spectrum, pad).reshape(coils**2, *shape)
    images = Fourier(tuple(padded.shape)).H(padded.unsqueeze(0))[0] * shape.numel() ** 0.5
    return images.reshape(coils, coils, *shape).permute(2, 3, 0, 1)


def _check(kspace: Tensor, width: int, kernel: int, threshold: float, sets: int) -> None:
    if kspace.ndim != 3:
        raise InputError(f"ESPIRiT takes k-space (coils, rows, columns) of one slice, got {tuple(kspace.shape)}.")
    if not 1 <= kernel <= width:
        raise InputError(f"A kernel of {kernel} samples does not fit a center of {width}; give 1 <= kernel <= width.")
    if min(kspace.shape[1:]) < 2 * kernel:
        raise InputError(
            f"A kernel of {kernel} samples needs k-space of at least {2 * kernel} along each axis,"
            f" got {tuple(kspace.shape)}; give a smaller kernel."
        )
    if not 0 <= threshold < 1:
        raise InputError(f"The threshold is {threshold:g}; give a part of the largest singular value, in [0, 1).")
    if not 1 <= sets <= len(kspace):
        raise InputError(f"{len(kspace)} coils have 1 to {len(kspace)} sets of maps, not {sets}.")
