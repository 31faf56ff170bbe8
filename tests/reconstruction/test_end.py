"""The end of a walk: draws spread as far as the data leave open, however precise these are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.kernels import DPMpp2M
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators.linear import Operator
from scorefield.priors import Gaussian
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct

SIDE, N = 8, 100
PIXELS = SIDE**2


class Rows(Operator):
    """A real matrix on images (1, SIDE, SIDE)."""

    def __init__(self, matrix: Tensor):
        super().__init__((1, SIDE, SIDE), (len(matrix),))
        self.matrix = matrix

    def _apply(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.matrix).reshape(-1, *self.shape_in)


def prior() -> Gaussian:
    """Images of intensity 1, smooth by a power law of the frequency, as images are."""
    frequency = torch.fft.fftfreq(SIDE, 1 / SIDE).double()
    power = (1 + (frequency[:, None].square() + frequency.square()) / 4).pow(-2.5)
    rows = torch.fft.ifft2(torch.fft.fft2(torch.eye(PIXELS).double().reshape(-1, SIDE, SIDE)) * power).real
    return Gaussian(torch.ones(1, SIDE, SIDE).double(), 0.04 / power.mean() * rows.reshape(PIXELS, PIXELS))


def blur() -> Tensor:
    line = sum(w * torch.eye(SIDE).double().roll(k, 0) for k, w in ((-1, 0.25), (0, 0.5), (1, 0.25)))
    return torch.kron(torch.as_tensor(line), torch.as_tensor(line))


def fourier(share: float) -> Tensor:
    """Real and imaginary parts of a random share of the frequencies, and of frequency 0."""
    modes = torch.fft.fft2(torch.eye(PIXELS).double().reshape(-1, SIDE, SIDE), norm="ortho").flatten(1).mT
    kept = torch.randperm(PIXELS, generator=torch.Generator().manual_seed(0))[: int(share * PIXELS)]
    kept[0] = 0
    return torch.cat([modes.real[kept], modes.imag[kept]])


def few() -> Tensor:
    return torch.randn(20, PIXELS, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / SIDE


MATRICES = {"denoising": torch.eye(PIXELS).double(), "blur": blur(), "fourier": fourier(0.25), "few data": few()}


def standardized(name: str, noise: float, method: Method) -> Tensor:
    """Draws in each direction of the exact posterior, less its mean and over its standard deviation: (N, PIXELS)."""
    law, generator = prior(), torch.Generator().manual_seed(1)
    operator = Rows(MATRICES[name])
    y = operator(law.rsample(1, generator))
    y = y + noise * torch.randn(y.shape, dtype=y.dtype, generator=generator)
    given = Measurement(y, operator, White(noise))
    exact = law.posterior(given)
    values, axes = torch.linalg.eigh(exact.covariance)
    drawn = reconstruct(law, given, n=N, seed=0, method=method).draws
    return (drawn - exact.mean).flatten(1) @ axes / values.sqrt()


@pytest.mark.parametrize("noise", [1e-1, 1e-2, 1e-4])
@pytest.mark.parametrize("name", MATRICES)
def test_the_spread_is_that_of_the_exact_posterior(name, noise):
    """Over all directions by the standard error of N draws, and in each one by a factor that no N draws give."""
    z = standardized(name, noise, Method(batch=N))
    assert abs(float(z.square().mean().sqrt()) - 1) < 4 / math.sqrt(2 * N * PIXELS)
    assert 1 - 6 / math.sqrt(2 * N) < float(z.std(0).min())
    assert float(z.std(0).max()) < 1 + 6 / math.sqrt(2 * N)


def test_the_mean_of_the_last_level_has_hardly_any():
    """What the draw at the end is for."""
    z = standardized("denoising", 1e-3, Method(kernel=DPMpp2M(eta=1.0), batch=N))
    assert float(z.std(0).mean()) < 0.2
