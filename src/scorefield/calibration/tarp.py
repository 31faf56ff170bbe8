r"""Coverage of whole images, by distances to random points (TARP).

The regions of the posterior are balls about a reference point :math:`\theta_r`, which is chosen without regard to the
truth.  The number of draws that are nearer to :math:`\theta_r` than the truth is uniform on 0 ... n if truth and draws
are exchangeable.  The converse holds too: if the number is uniform for every :math:`\theta_r`, truth and draws are
exchangeable.  Ranks of single pixels do not imply this.

References:
    Lemos, Coogan, Hezaveh, Perreault-Levasseur, "Sampling-based accuracy testing of posterior estimators for general
    inference", ICML 2023, arXiv 2302.03026.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.calibration.ranks import check_scans, rank_counts
from scorefield.errors import InputError


def tarp_ranks(draws: Tensor, truth: Tensor, references: Tensor) -> Tensor:
    """The number of draws that are nearer to the reference than the truth is: (scans,), 0 ... n.

    Args:
        draws: real numbers (scans, n, *quantities).
        truth: (scans, *quantities).
        references: a point for each scan (scans, *quantities) that does not depend on the truth of that scan, such as
            the truth of another scan.

    Raises:
        InputError: shapes that do not fit, complex or non-finite numbers.
    """
    check_scans(draws, truth)
    if references.shape != truth.shape:
        raise InputError(
            f"TARP needs one reference point a scan, {tuple(truth.shape)}, got {tuple(references.shape)};"
            " pass the truths of other scans."
        )
    distance = (draws - references.unsqueeze(1)).flatten(2).norm(dim=2)
    own = (truth - references).flatten(1).norm(dim=1, keepdim=True)
    return (distance < own).sum(1)


def tarp_coverage(ranks: Tensor, n: int, levels: Tensor) -> Tensor:
    """The share of scans whose truth lies in the ball of posterior probability ``level``: (L,).

    The probability of a ball that just reaches the truth is estimated by ``(rank + 1/2) / (n + 1)``.  For exchangeable
    draws its law is uniform on n + 1 values, so the coverage is ``level`` where ``(n + 1) level`` is a whole number.

    Args:
        ranks: (scans,), by :func:`tarp_ranks`.
        n: number of draws of each scan.
        levels: (L,), in [0, 1].

    Raises:
        InputError: ranks outside 0 ... n.
    """
    shares = rank_counts(ranks, n).double().cumsum(0) / ranks.numel()
    shares = torch.cat([shares.new_zeros(1), shares])
    return shares[((n + 1) * levels.double() + 0.5).floor().long().clamp(0, n + 1)]
