"""Zero filling, least squares and filtered back-projection against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield import operators
from scorefield.baselines import filtered_back_projection, least_squares, zero_filled
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import Independent, White
from scorefield.randomness import normal_like


class Diagonal(Independent):
    """Independent noise of different variance in each sample."""

    def __init__(self, values: torch.Tensor):
        self.values = values

    @property
    def variance(self) -> torch.Tensor:
        return self.values


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def complex_image(n: int = 12) -> torch.Tensor:
    return normal_like(torch.zeros(1, n, n, dtype=torch.complex128), generator())


@pytest.mark.parametrize("scale", [1.0, 7.0, 0.1j])
def test_zero_filling_inverts_full_sampling_whatever_the_operators_scale(scale: complex):
    x = complex_image()
    operator = scale * operators.mri(torch.ones(1, 12, 12, dtype=torch.bool), operators.birdcage(3, (1, 12, 12)))
    measurement = Measurement(operator(x[None]), operator, White(0.1))
    torch.testing.assert_close(zero_filled(measurement), x, atol=1e-6, rtol=1e-6)  # the maps are single precision


def test_zero_filling_is_the_adjoint_for_one_coil_and_zero_for_no_signal():
    mask = operators.cartesian_mask((1, 12, 12), 3.0, generator=generator())
    operator = operators.mri(mask)
    y = operator(complex_image()[None])
    torch.testing.assert_close(zero_filled(Measurement(y, operator, White(0.1))), operator.H(y)[0])
    assert not zero_filled(Measurement(0 * y, operator, White(0.1))).any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_least_squares_solves_the_weighted_normal_equations(dtype: torch.dtype):
    matrix = normal_like(torch.zeros(15, 6, dtype=dtype), generator())
    y = normal_like(torch.zeros(15, dtype=dtype), torch.Generator().manual_seed(1))
    variance = torch.linspace(0.5, 4, 15, dtype=torch.float64)
    measurement = Measurement(y, operators.Matrix(matrix), Diagonal(variance))
    weight = ((1 / variance) / (1 / variance).mean()).to(dtype)
    normal = matrix.mH @ (weight[:, None] * matrix) + 0.3 * torch.eye(6, dtype=dtype)
    wanted = torch.linalg.solve(normal, matrix.mH @ (weight * y))
    found = least_squares(measurement, ridge=0.3, tolerance=1e-12)
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-9)


def test_ridge_is_the_gaussian_posterior_mean():
    y = torch.tensor([[[2.0, -4.0]]], dtype=torch.float64)
    noise, spread = 0.5, 2.0
    measurement = Measurement(y, operators.Identity((1, 1, 2)), White(noise))
    torch.testing.assert_close(
        least_squares(measurement, ridge=noise**2 / spread**2), y * spread**2 / (spread**2 + noise**2)
    )


@pytest.mark.parametrize("ridge", [-1.0, math.nan])
def test_a_bad_ridge_is_refused(ridge: float):
    measurement = Measurement(torch.ones(1, 1, 2), operators.Identity((1, 1, 2)), White(1.0))
    with pytest.raises(InputError, match="ridge"):
        least_squares(measurement, ridge=ridge)


def test_fbp_is_the_operators_own():
    projector = operators.parallel_beam((1, 32, 32), torch.arange(60) * math.pi / 60, 48)
    y = projector(torch.ones(1, 1, 32, 32))
    image = filtered_back_projection(Measurement(y, projector, White(0.1)))
    torch.testing.assert_close(image, operators.fbp(projector, y)[0])
    with pytest.raises(InputError, match="CT projector"):
        filtered_back_projection(Measurement(torch.ones(1, 1, 2), operators.Identity((1, 1, 2)), White(1.0)))
    assert float(image[0, 12:20, 12:20].mean()) == pytest.approx(1.0, abs=0.05)
