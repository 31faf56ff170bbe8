"""Yardsticks and small priors that several test files use."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from scorefield.prior import Denoiser, level


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def complex_normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.view_as_complex(normal(*shape, 2, seed=seed))


def assert_slope(slope: Callable[[Tensor], Tensor], value: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> None:
    """``slope`` is the derivative of ``value`` along v, (B,) each, kinks or not.

    A difference quotient lies among the slopes between its two points, wherever a rectifier bends.
    """
    step = 1e-6
    quotient = (value(x + step * v) - value(x - step * v)) / (2 * step)
    slopes = torch.stack([slope(x + t * v) for t in torch.linspace(-step, step, 9, dtype=torch.float64)])
    torch.testing.assert_close(quotient.clamp(slopes.amin(0), slopes.amax(0)), quotient, rtol=1e-6, atol=1e-6)


def wasserstein(mean: Tensor, covariance: Tensor, other_mean: Tensor, other: Tensor) -> float:
    """Wasserstein-2 distance of two Gaussians."""
    root = _root(other)
    cross = torch.trace(_root(root @ covariance @ root))
    square = (mean - other_mean).square().sum() + torch.trace(covariance + other) - 2 * cross
    return math.sqrt(max(0.0, float(square)))


def relative_wasserstein(draws: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """W2 between the draws' Gaussian and N(mean, covariance), over the square root of the latter's trace."""
    distance = wasserstein(draws.mean(0), torch.cov(draws.T), mean, covariance)
    return distance / math.sqrt(float(torch.trace(covariance)))


def monte_carlo_floor(mean: Tensor, covariance: Tensor, n: int) -> float:
    """The relative W2 that n exact draws have."""
    exact = mean + normal(n, len(mean), seed=99) @ _root(covariance)
    return relative_wasserstein(exact, mean, covariance)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)
    return vectors * values.clamp(min=0).sqrt() @ vectors.mT


def ancestral_variance(variance: Tensor, sigmas: Tensor) -> Tensor:
    """What ancestral steps make of white noise under N(0, variance): the recursion of the scalar chain."""
    found = sigmas[0].square().expand_as(variance)
    for s, t in pairwise(sigmas.square().tolist()):
        shrink = variance / (variance + s)
        found = (shrink + t / s * (1 - shrink)) ** 2 * found + t * (s - t) / s
    return found


class LinearDenoiser(Denoiser):
    """``D = M x`` on flattened real events, with no claim that M is symmetric or positive."""

    def __init__(self, matrix: Tensor):
        super().__init__()
        self.matrix = matrix

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        level(sigma, x)
        return (x.flatten(1) @ self.matrix.T.to(x.dtype)).reshape(x.shape)


class White(Denoiser):
    """N(0, variance I) on images of any size, its denoiser by autograd only."""

    def __init__(self, variance: float):
        super().__init__()
        self.variance = variance

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return x * self.variance / (self.variance + level(sigma, x).square())
