r"""The weights of the modes among draws, and their error.

The error is the total variation distance, half the sum of the absolute errors of the weights.  For n independent draws
each count is binomial, and de Moivre's closed form for its mean absolute deviation,

.. math:: E|k - n p| = 2\, m \binom{n}{m} p^m (1 - p)^{n - m + 1}, \qquad m = \lfloor n p \rfloor + 1,

gives the part of the error that is chance.

References:
    Diaconis & Zabell, "Closed form summation for classical distributions", Statistical Science 1991 (de Moivre 1730).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError


def mode_weights(draws: Tensor, modes: Tensor) -> Tensor:
    """The share of the draws whose nearest mode is each mode: (K,), float64.

    Args:
        draws: real draws (n, *event).
        modes: the centers of the modes (K, *event).

    Raises:
        InputError: events of different shapes, or no draws or modes.
    """
    if draws.shape[1:] != modes.shape[1:] or not len(draws) or not len(modes):
        raise InputError(f"Draws {tuple(draws.shape)} and modes {tuple(modes.shape)} are not of the same events.")
    nearest = torch.cdist(draws.flatten(1).double(), modes.flatten(1).double()).argmin(1)
    return torch.bincount(nearest, minlength=len(modes)).double() / len(draws)


def weight_error(p: Tensor, q: Tensor) -> float:
    """Total variation distance of two laws on K points, half the sum of ``|p_k - q_k|``, in [0, 1].

    Args:
        p: weights (K,).
        q: weights (K,).

    Raises:
        InputError: different numbers of points, or weights that do not sum to 1.
    """
    sums = float(p.double().sum()), float(q.double().sum())
    if p.shape != q.shape or p.ndim != 1 or max(abs(s - 1) for s in sums) > 1e-6:
        raise InputError(
            f"Weights are compared for two laws on the same points, got shapes {tuple(p.shape)} and {tuple(q.shape)}"
            f" with sums {sums[0]:g} and {sums[1]:g}; normalize them."
        )
    return 0.5 * float((p.double() - q.double()).abs().sum())


def expected_weight_error(weights: Tensor, n: int) -> float:
    """The mean of :func:`weight_error` for exact draws.

    Args:
        weights: the exact weights (K,).
        n: number of independent draws.

    Raises:
        InputError: no draws.
    """
    if n < 1:
        raise InputError(f"Shares need n >= 1 draws, got {n}.")
    return 0.5 * sum(_mean_deviation(n, p) for p in weights.double().tolist()) / n


def _mean_deviation(n: int, p: float) -> float:
    """``E|k - n p|`` of a binomial count k of n trials of probability p."""
    if not 0 < p < 1:
        return 0.0
    m = math.floor(n * p) + 1
    log = math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1) + m * math.log(p)
    return 2 * m * math.exp(log + (n - m + 1) * math.log1p(-p))
