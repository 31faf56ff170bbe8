"""How a walk starts: images at the first noise level."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.noise import normal_like
from scorefield.prior import Prior


def begin(prior: Prior, like: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    r"""Draws from (nearly) :math:`p_\sigma` at a large sigma, shaped like ``like``; one denoiser evaluation.

    :math:`x = D(\sigma z', \sigma) + \sigma z`.  For N(m, S) the denoiser adds the mean and :math:`(S/\sigma) z'` to
    first order; with
    standard normal z, z' correlated by 1/2 the covariance is :math:`\sigma^2 I + S` up to :math:`O(S^2/\sigma^2)`,
    where pure noise would miss
    both m and S.
    """
    z, w = normal_like(like, generator), normal_like(like, generator)
    correlated = z / 2 + math.sqrt(3) / 2 * w
    with torch.no_grad():
        return prior.draw(generator).denoise(sigma.to(like.real.dtype) * correlated, sigma) + sigma * z
