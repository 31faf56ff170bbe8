r"""Wasserstein-2 distances in closed form: of samples along lines, and of Gaussians.

In one dimension the best transport between two samples of n numbers pairs them in order,
:math:`W_2^2 = \tfrac1n \sum_i (a_{(i)} - b_{(i)})^2`.  In d dimensions the sliced distance averages this over the
projections on unit vectors :math:`\theta`,

.. math:: SW_2^2 = E_\theta \, W_2^2(\theta^T a, \theta^T b) \le W_2^2 / d .

For Gaussians the transport is linear and
:math:`W_2^2 = \|m_a - m_b\|^2 + \mathrm{tr}(C_a + C_b - 2 (C_b^{1/2} C_a C_b^{1/2})^{1/2})`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.randomness import normal_like


def sliced_wasserstein(a: Tensor, b: Tensor, *, directions: int = 1000, generator: torch.Generator) -> Tensor:
    r"""Sliced Wasserstein-2 distance of two samples, :math:`\sqrt{E_\theta W_2^2}`: a float64 number.

    The distance along each direction is exact, by sorting.  The order is 2, and the root is taken after the mean over
    directions, as the library POT does by default.

    Args:
        a: draws (n, *event), real or complex; complex events count as pairs of reals.
        b: as many draws of the same shape.
        directions: number of random unit vectors; the relative error of the mean square falls with its square root.
        generator: draws the directions; give the same seed for all samples that are to be compared.

    Raises:
        InputError: unequal shapes, no draws, or no directions.

    References:
        Rabin, Peyre, Delon, Bernot, "Wasserstein barycenter and its application to texture mixing", SSVM 2011;
        Bonneel, Rabin, Peyre, Pfister, JMIV 2015; the metric of Cardoso et al., ICLR 2024, arXiv 2308.07983.
    """
    if a.shape != b.shape or a.ndim < 2 or len(a) < 1:
        raise InputError(
            f"Slices pair equal numbers of draws (n, *event), got {tuple(a.shape)} and {tuple(b.shape)};"
            " draw as many of one as of the other."
        )
    if directions < 1:
        raise InputError(f"Slicing needs at least 1 direction, got {directions}.")
    a, b = _rows(a), _rows(b)
    theta = normal_like(a.new_empty(a.shape[1], directions, device=generator.device), generator).to(a.device)
    theta = theta / theta.norm(dim=0)
    gap = (a @ theta).sort(0).values - (b @ theta).sort(0).values
    return gap.square().mean().sqrt()


def gaussian_w2(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """Wasserstein-2 distance of N(mean_a, cov_a) and N(mean_b, cov_b), a number; singular covariances are allowed.

    Args:
        mean_a: (d,).
        cov_a: (d, d).
        mean_b: (d,).
        cov_b: (d, d).

    Raises:
        InputError: shapes that are not those of two Gaussians over the same vectors.

    References:
        Givens & Shortt, Michigan Math. J. 1984; Gelbrich 1990.
    """
    shapes = {tuple(cov_a.shape), tuple(cov_b.shape)}
    if mean_a.ndim != 1 or mean_a.shape != mean_b.shape or shapes != {(len(mean_a), len(mean_a))}:
        raise InputError(
            f"Two Gaussians over vectors have means (d,) and covariances (d, d), got {tuple(mean_a.shape)},"
            f" {tuple(cov_a.shape)}, {tuple(mean_b.shape)} and {tuple(cov_b.shape)}; flatten the events first."
        )
    root_a, root_b = _root(cov_a), _root(cov_b)
    # tr (C_b^1/2 C_a C_b^1/2)^1/2 is the nuclear norm of C_a^1/2 C_b^1/2: no square of a small eigenvalue is formed
    cross = torch.linalg.svdvals(root_a @ root_b).sum()
    square = (mean_a - mean_b).square().sum() + torch.trace(cov_a + cov_b) - 2 * cross
    return square.clamp(min=0).sqrt()


def _rows(draws: Tensor) -> Tensor:
    parts = torch.view_as_real(draws.resolve_conj()) if draws.is_complex() else draws
    return parts.flatten(1).double()


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)
    return vectors * values.clamp(min=0).sqrt() @ vectors.mT
