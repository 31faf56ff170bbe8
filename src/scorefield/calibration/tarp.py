r"""Coverage of whole images by distance to random points (TARP).

Regions of the posterior are balls about a reference point :math:`\theta_r` chosen without regard to the truth.  The
number of draws nearer to :math:`\theta_r` than the truth is uniform on 0 ... n if truth and draws are exchangeable; and
if it is uniform for every :math:`\theta_r`, they are, which ranks of single pixels cannot promise.

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
    """How many draws are nearer to the reference than the truth is: (scans,), 0 ... n.

    Args:
        draws: real numbers (scans, n, *quantities).
        truth: (scans, *quantities).
        references: a point for each scan (scans, *quantities) that the scan's own truth does not decide, such as the
            truth of another scan.

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


def tarp_coverage(found: Tensor, n: int, levels: Tensor) -> Tensor:
    """Expected coverage: the share of scans whose truth lies in the ball that holds a share ``level`` of the law.

    The share inside a ball that just reaches the truth is estimated by ``(rank + 1/2) / (n + 1)``, whose law is uniform
    up to the grid of n + 1 values; exchangeable draws then cover ``level`` where ``(n + 1) level`` is whole.

    Args:
        found: ranks (scans,) by :func:`tarp_ranks`.
        n: number of draws behind each.
        levels: (L,), in [0, 1].
    """
    shares = rank_counts(found, n).double().cumsum(0) / found.numel()
    counted = torch.cat([shares.new_zeros(1), shares])
    return counted[((n + 1) * levels.double() + 0.5).floor().long().clamp(0, n + 1)]
