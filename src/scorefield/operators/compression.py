r"""Coil compression: the few combinations of coils that hold almost all of the signal.

With :math:`Y = C^{-1/2} K` the whitened k-space, a row a coil, and :math:`Y = U \Sigma V^H`,

.. math:: M = U_n^H C^{-1/2}, \qquad e = \sum_{i \le n} \sigma_i^2 \Big/ \sum_i \sigma_i^2 ,

are the matrix that makes n coils of all, and the share e of the energy that they keep.  No other n combinations of
white noise keep more.  Their noise is white of level 1.

References:
    Buehrer et al., "Array compression for MRI with large coil arrays", Magn. Reson. Med. 2007; Huang et al., "A
    software channel compression technique for faster reconstruction with many channels", Magn. Reson. Imaging 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import power_of_two
from scorefield.noise import Colored
from scorefield.operators.basic import finite


@dataclass(frozen=True, eq=False)
class Compression:
    r"""k-space of fewer coils, and how it was made.

    Args:
        kspace: (n, \*samples).
        matrix: M (n, coils), ``kspace = M @`` that of all coils; :class:`~scorefield.operators.Mix` applies it.
        energy: the share of the whitened energy that is left, in [0, 1].
    """

    kspace: Tensor
    matrix: Tensor
    energy: float


def compress_coils(kspace: Tensor, n: int, *, noise: Colored | None = None) -> Compression:
    r"""The n combinations of coils that keep the most energy.

    Make coil maps from the result, or ``Mix(result.matrix, maps.shape)(maps[None])[0]`` of those of all coils.

    Args:
        kspace: (coils, \*samples), complex; entries that were not measured are zero, or left out.
        n: number of coils that are left.
        noise: between coils, which is whitened first; None where it is white already.

    Raises:
        InputError: k-space that is not complex, not finite or zero, n outside of 1 to the coils, or noise of another
            number of coils.
    """
    kspace = finite(torch.as_tensor(kspace), "k-space")
    if not kspace.is_complex() or kspace.ndim < 2 or not bool(kspace.any()):
        raise InputError(
            f"Compression needs complex k-space (coils, *samples) that is not zero, got {kspace.dtype} of shape"
            f" {tuple(kspace.shape)}."
        )
    coils = len(kspace)
    if not 1 <= n <= coils:
        raise InputError(f"{coils} coils can be compressed to 1 to {coils}, not {n}.")
    rows = kspace.flatten(1).to(torch.complex128)
    unit = power_of_two(torch.view_as_real(rows).abs().amax().reshape(1))
    whitener = torch.eye(coils, dtype=rows.dtype, device=rows.device)
    if noise is not None:
        if len(noise.covariance) != coils:
            raise InputError(f"The noise is that of {len(noise.covariance)} coils, and k-space has {coils}.")
        whitener = noise.whiten(whitener.unsqueeze(0)).squeeze(0)
    white = whitener @ (rows / unit)
    energies, vectors = torch.linalg.eigh(white @ white.mH)
    matrix = vectors.flip(1)[:, :n].mH @ whitener
    energies = energies.flip(0).clamp_min(0)
    data = (matrix @ rows).reshape(n, *kspace.shape[1:]).to(kspace.dtype)
    return Compression(data, matrix.to(kspace.dtype), float(energies[:n].sum() / energies.sum()))
