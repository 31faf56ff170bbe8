r"""Starts: the images with which a sampler begins, at the first noise level.

A start is a function with the arguments of :func:`begin`, ``start(prior, like, sigma, generator) -> x``.  Exact images
of the first level follow :math:`p_\sigma`, whose mean and covariance are those of :math:`x_0 + \sigma z`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Prior
from scorefield.randomness import normal_like, uniform_like

Start = Callable[[Prior, Tensor, Tensor, torch.Generator], Tensor]


def begin(prior: Prior, like: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    r"""Draw images from :math:`p_\sigma`, approximately, at a large sigma, by one denoiser evaluation.

    :math:`x = D(\sigma z', \sigma) + \sigma z` with standard normal z and z' of correlation 1/2.  For a prior N(m, S)
    the denoiser is :math:`m + (S/\sigma) z'` to first order, so x has mean m and covariance
    :math:`\sigma^2 I + S + O(S^2/\sigma^2)`.  Noise :math:`\sigma z` alone has neither the mean nor S.

    Args:
        prior: a prior or a posterior.
        like: a tensor with the shape (n, *event), dtype and device of the images.
        sigma: the first level, ().
        generator: source of the random numbers.
    """
    z, w = normal_like(like, generator), normal_like(like, generator)
    correlated = z / 2 + math.sqrt(3) / 2 * w
    with torch.no_grad():
        return prior.draw(generator).denoise(sigma.to(like.real.dtype) * correlated, sigma) + sigma * z


@dataclass(frozen=True, eq=False)
class WarmStart:
    r""":math:`\hat x + \sigma z`: an estimate of the image plus noise of the first level.

    Sampling can then begin at an intermediate level.  One step from s to t multiplies the error of the mean by
    :math:`\tfrac{t^2}{s^2} I + (1 - \tfrac{t^2}{s^2}) J`.  The product of these contractions is the part of the error
    of the estimate that remains in the end; it grows as the first level falls.

    Args:
        image: one image (C, *spatial), in the prior's units; every draw starts from it.

    Raises:
        InputError: when called, an image of another shape, or a complex image for real draws.

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
    """Each real component is uniform on [low, high], at any level: the start of NCSN.

    Args:
        low: smallest value.
        high: largest value.

    Raises:
        InputError: bounds that are not finite with low < high.

    References:
        Song & Ermon, NeurIPS 2019, arXiv 1907.05600.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise InputError(f"Uniform needs finite low < high, got {self.low:g} and {self.high:g}.")

    def __call__(self, prior: Prior, like: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
        u = (self.high - self.low) * uniform_like(like, generator)
        return u + (complex(self.low, self.low) if u.is_complex() else self.low)
