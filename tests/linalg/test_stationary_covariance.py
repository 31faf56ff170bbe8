"""The stationary model of a covariance: what one product tells, and what it is worth as a preconditioner."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield.linalg.covariance import EDGES, Stationary
from scorefield.linalg.solve import flexible_gmres, inner
from scorefield.priors import StationaryGaussian

SHAPES = [(5,), (2, 9), (1, 12, 9), (2, 6, 7, 5)]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def radius(*sides: int) -> Tensor:
    axes = torch.meshgrid(*[torch.fft.fftfreq(n, dtype=torch.float64) for n in sides], indexing="ij")
    return torch.stack(axes).square().sum(0).sqrt()


def filtered(power: Tensor, v: Tensor) -> Tensor:
    axes = tuple(range(2, v.ndim))
    image = torch.fft.ifftn(power * torch.fft.fftn(v, dim=axes), dim=axes)
    return image if v.is_complex() else image.real


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_symmetric_and_positive(shape, dtype):
    v = normal(3, *shape, dtype=dtype)
    model = Stationary(v, v + 0.5 * normal(3, *shape, seed=1, dtype=dtype))
    a, b = normal(3, *shape, seed=2, dtype=dtype), normal(3, *shape, seed=3, dtype=dtype)
    torch.testing.assert_close(inner(model(a), b), inner(a, model(b)))
    assert bool((inner(a, model(a)) > 0).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_a_covariance_that_is_constant_on_rings_is_found_exactly(dtype):
    rings = torch.bucketize(radius(16, 15), torch.tensor(EDGES, dtype=torch.float64), right=True)
    power = torch.linspace(4, 0.1, len(EDGES) + 1, dtype=torch.float64)[rings]
    v, other = normal(2, 1, 16, 15, dtype=dtype), normal(2, 1, 16, 15, seed=1, dtype=dtype)
    torch.testing.assert_close(Stationary(v, filtered(power, v))(other), filtered(power, other))


def test_a_multiple_of_the_identity_is_found_exactly_in_every_shape_and_draw_by_draw():
    for shape in SHAPES:
        sizes = torch.tensor([0.5, 3.0], dtype=torch.float64).reshape(-1, *[1] * len(shape))
        v, other = normal(2, *shape), normal(2, *shape, seed=1)
        torch.testing.assert_close(Stationary(v, sizes * v)(other), sizes * other)


def test_negative_and_absent_energy_leave_the_least_power():
    v = normal(1, 1, 16, 16)
    low = filtered((radius(16, 16) < 0.1).double(), v)
    model = Stationary(low, low)
    assert model.power.min().item() == pytest.approx(1e-4)  # so that the model's inverse is at most 10^4 times larger
    assert model.power.max().item() == pytest.approx(1)
    assert bool((Stationary(v, -v).power == 0).all())


def test_it_preconditions_images_that_are_stationary():
    """A smooth field seen through a mask: two directions and the model leave less than four plain ones."""
    side, sigma, noise = 32, 0.3, 0.02
    spectrum = 1 / (0.02 + radius(side, side)) ** 3
    prior = StationaryGaussian(torch.zeros(1, side, side).double(), torch.fft.fftshift(spectrum / spectrum.mean()))
    _, vjp = prior.linearize(normal(1, 1, side, side), sigma)
    mask = (normal(1, 1, side, side, seed=4) > 0).double()

    def seen(covariance):
        return lambda u: u + mask * covariance(mask * u) / noise**2

    matrix = seen(lambda v: sigma**2 * vjp(v))
    v, b = normal(1, 1, side, side, seed=5), mask * normal(1, 1, side, side, seed=6)
    model = seen(Stationary(v, sigma**2 * vjp(v)))

    def misfit(precondition, iterations: int) -> float:
        u, _ = flexible_gmres(matrix, b, precondition, tolerance=0, iterations=iterations)
        return ((matrix(u) - b).norm() / b.norm()).item()

    def inverse(r: Tensor) -> Tensor:
        return flexible_gmres(model, r, lambda u: u, tolerance=1e-3, iterations=60)[0]

    assert misfit(inverse, 2) < misfit(lambda u: u, 4)
