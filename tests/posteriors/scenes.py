"""Operators of every kind with a prior, data and noisy images, and their dense real matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.linalg.parts import as_rows
from scorefield.measurement import Measurement
from scorefield.noise import Independent, White
from scorefield.operators import Blur, Downsample, Fourier, Mask, RealToComplex, Sample, birdcage, cartesian_mask, mri
from scorefield.priors import DiagonalGaussian, IndependentParts
from scorefield.randomness import normal_like
from support import normal


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lines(*shape: int) -> Tensor:
    return cartesian_mask(shape, 2, center_fraction=0.2, generator=g(1))


class Uneven(Independent):
    """Noise whose level differs between the data."""

    def __init__(self, values: Tensor):
        self.values = values

    @property
    def variance(self) -> Tensor:
        return self.values


# operators of every kind: real and complex data, A A^H the identity, diagonal, dense, in another basis
SHAPE = (1, 4, 6)
OPERATORS = {
    "inpainting": (lambda: Sample(torch.rand(4, 6, generator=g(2)) < 0.5, SHAPE), False),
    "weights": (lambda: Mask(normal(4, 6), SHAPE), False),
    "blur": (lambda: Blur(SHAPE, torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)), False),
    "averages": (lambda: Downsample(SHAPE, 2), False),
    "real image in k-space": (lambda: mri(lines(*SHAPE)) @ RealToComplex(SHAPE), False),
    "k-space lines": (lambda: mri(lines(*SHAPE)), True),
    "coils": (lambda: mri(lines(*SHAPE), birdcage(3, SHAPE).to(torch.complex128)), True),
    "coil by coil": (lambda: Sample(lines(*SHAPE), (3, 4, 6)) @ Fourier((3, 4, 6)), True),
}


def scene(name: str, std: float = 0.2) -> tuple[IndependentParts | DiagonalGaussian, Measurement, Tensor]:
    """A prior, a measurement, and three noisy images."""
    make, complex_image = OPERATORS[name]
    operator = make()
    dtype = torch.complex128 if complex_image else torch.float64
    mean = normal(*operator.shape_in, seed=4)
    prior = DiagonalGaussian(mean, 0.1 + torch.rand(operator.shape_in, generator=g(3), dtype=torch.float64))
    blank = torch.empty(3, *operator.shape_in, dtype=dtype)
    truth = normal_like(blank[:1], g(5))
    y = operator(truth)
    y = y + std * normal_like(y, g(6))
    law = IndependentParts(prior) if complex_image else prior
    return law, Measurement(y, operator, White(std)), 2 * normal_like(blank, g(7))


def dense(operator, like: Tensor) -> Tensor:
    """The real matrix of A for images like ``like``."""
    size = as_rows(like[:1]).shape[1]
    basis = unflat(torch.eye(size, dtype=torch.float64), like)
    return as_rows(operator(basis)).T


def unflat(rows: Tensor, like: Tensor) -> Tensor:
    shape = (len(rows), *like.shape[1:])
    return torch.view_as_complex(rows.reshape(*shape, 2)) if like.is_complex() else rows.reshape(shape)


def corrected(prior, given, x: Tensor, sigma: float, gain) -> Tensor:
    """``D + G(A) (y - A D)`` with a dense gain."""
    A = dense(given.operator, x)
    mean = as_rows(prior.denoise(x, sigma))
    return unflat(mean + (as_rows(given.y) - mean @ A.T) @ gain(A).T, x)


def eye(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64)
