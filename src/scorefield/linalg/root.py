r"""The square root of a symmetric positive map, times a vector: what turns white noise into noise of a covariance.

Lanczos' method finds, in k products, an orthonormal basis Q of the Krylov space of :math:`z` and the tridiagonal matrix
:math:`T = Q^T M Q`.  Then

.. math:: M^{1/2} z \approx \|z\|\, Q\, T^{1/2} e_1 .

The power is exact after one product: :math:`\|z\|^2\, e_1^T T e_1 = \langle z, M z\rangle`, so noise made this way has
the trace of M whatever k is, and further products distribute it among the directions.

References:
    Chow & Saad, "Preconditioned Krylov subspace methods for sampling multivariate Gaussian distributions", SIAM J. Sci.
    Comput. 2014.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import Combination, Map, inner


def square_root(matrix: Map, z: Tensor, *, tolerance: float = 1e-2, iterations: int = 8) -> Tensor:
    """``M^1/2 z``, each draw on its own, for a map that is symmetric and positive, or nearly so.

    The Jacobian of a learned denoiser is neither exactly.  The basis is orthogonalized in full, and of the small matrix
    the symmetric and positive part is taken.

    Args:
        matrix: maps (B, *shape) to (B, *shape).
        z: vectors (B, *shape), real or complex.
        tolerance: change of the result by one more product, over its length, below which a draw stops.
        iterations: the most products by the map.
    """
    size = inner(z, z).sqrt()
    basis = [z / per_image(torch.where(size > 0, size, 1), z)]
    small = torch.zeros(len(z), iterations, iterations, dtype=torch.float64, device=z.device)
    weights, live = small.new_zeros(len(z), 0), torch.ones(len(z), 1, dtype=torch.bool, device=z.device)
    for k in range(iterations):
        w = matrix(basis[k])
        for i, b in enumerate(basis):
            small[:, i, k] = h = inner(b, w)
            w = w - per_image(h, w) * b
        last, following = functional.pad(weights, (0, 1)), _first_column(small[:, : k + 1, : k + 1])
        weights = torch.where(live, following, last)
        change, length = (part.norm(dim=1, keepdim=True) for part in (weights - last, weights))
        live = live & ((change > tolerance * length) | (length == 0))  # 0 where the first quotient is negative
        if k + 1 == iterations or not bool(live.any()):
            break
        small[:, k + 1, k] = norm = inner(w, w).sqrt()
        basis.append(w / per_image(torch.where(norm > 0, norm, 1), w))
    return Combination(size[:, None] * weights)(basis)


def _first_column(small: Tensor) -> Tensor:
    """First column of the root of the symmetric positive part of matrices (B, k, k): (B, k)."""
    finite = small.isfinite().all(2).all(1)[:, None]  # a map may diverge; the sampling will say so
    values, vectors = torch.linalg.eigh(torch.where(finite[:, :, None], (small + small.mT) / 2, 0))
    column = (vectors * values.clamp(min=0).sqrt()[:, None] * vectors[:, :1]).sum(2)
    return torch.where(finite, column, torch.nan)
