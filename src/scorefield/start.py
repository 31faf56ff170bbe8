"""How a walk starts: images at the first noise level.

A start is anything called as :func:`begin` is, ``start(prior, like, sigma, generator) -> x``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Prior
from scorefield.randomness import normal_like

Start = Callable[[Prior, Tensor, Tensor, torch.Generator], Tensor]


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


@dataclass(frozen=True, eq=False)
class WarmStart:
    r""":math:`\hat x + \sigma z`: an estimate of the image, diffused once to the first level.

    A walk that starts so at an intermediate level skips those above it.  If one step from s to t moves the mean by the
    contraction :math:`\tfrac{t^2}{s^2} I + (1 - \tfrac{t^2}{s^2}) J`, the product of the contractions is what is left
    of the error of the estimate: the smaller the first level, the more.

    Args:
        image: one image (C, *spatial), in the prior's units; every draw starts from it.

    References:
        Chung, Sim, Ye, "Come-closer-diffuse-faster", CVPR 2022, arXiv 2112.05146 (first levels at .02 to .2 of the
        time axis).
    """

    image: Tensor

    def __call__(self, prior: Prior, like: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
        if self.image.shape != like.shape[1:]:
            raise InputError(
                f"A warm start takes one image of shape {tuple(like.shape[1:])}, got {tuple(self.image.shape)}."
            )
        if self.image.is_complex() and not like.is_complex():
            raise InputError("The warm start is complex but the draws are real; give sample a complex like=.")
        return self.image.to(like) + sigma * normal_like(like, generator)


@dataclass(frozen=True)
class Uniform:
    """Each real component uniform on [low, high], whatever the level: how NCSN starts.

    References:
        Song & Ermon, NeurIPS 2019, arXiv 1907.05600.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise InputError(f"Uniform needs finite low < high, got {self.low:g} and {self.high:g}.")

    def __call__(self, prior: Prior, like: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
        x = torch.empty_like(like, memory_format=torch.contiguous_format)
        (torch.view_as_real(x) if x.is_complex() else x).uniform_(self.low, self.high, generator=generator)
        return x
