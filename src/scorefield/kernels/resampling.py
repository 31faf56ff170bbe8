r"""Resampling: from weighted particles to equally weighted ones.

A particle of weight w among n should be taken n w times.  Systematic resampling puts n equally spaced points, shifted
together by one uniform number, on the cumulative weights: each particle is taken :math:`\lfloor n w \rfloor` or
:math:`\lceil n w \rceil` times and n w times on average, so no unbiased scheme with whole counts has a smaller variance
of any one count.  Copies stay neighbors, so that thinning later takes its share from every family.

References:
    Kitagawa, J. Comput. Graph. Stat. 1996; Carpenter, Clifford, Fearnhead, IEE Proc. 1999; Kong, Liu, Wong, JASA 1994
    (effective sample size).
"""

from __future__ import annotations

import torch
from torch import Tensor


def effective_fraction(log_weights: Tensor) -> float:
    """Effective sample size over the number of particles, :math:`(\\sum w)^2 / (M \\sum w^2)`, in (0, 1]."""
    weights = log_weights.softmax(0)
    return 1 / (len(weights) * weights.square().sum().item())


def systematic(log_weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Indices (n,), increasing, of particles taken in proportion to ``exp(log_weights)`` (M,); one random number.

    As many particles as there are, with equal weights, are taken once each, and no random number is drawn.
    """
    if n == len(log_weights) and bool((log_weights == log_weights[0]).all()):
        return torch.arange(n, device=log_weights.device)
    shift = torch.rand((), generator=generator, dtype=log_weights.dtype, device=generator.device)
    points = (torch.arange(n, dtype=log_weights.dtype, device=log_weights.device) + shift.to(log_weights.device)) / n
    cumulative = log_weights.softmax(0).cumsum(0)
    return torch.searchsorted(cumulative / cumulative[-1], points).clamp(max=len(log_weights) - 1)
