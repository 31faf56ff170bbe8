"""Likelihood steps against dense algebra, and walks within a step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernels import Ancestral, Ascent, Descent, Heun, Langevin, MarkovChain, PerturbAndMap
from scorefield.kernels.likelihood import Tethered
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity, Matrix, RealToComplex
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.schedules import Geometric, Karras, LogNormal
from support import complex_normal, normal

STD, N = 0.4, 40_000
REAL, COMPLEX = normal(3, 4, seed=1), complex_normal(3, 4, seed=2)


def rows(x: Tensor) -> Tensor:
    """Real vectors: complex entries as pairs of parts."""
    return torch.cat([x.real, x.imag], -1) if x.is_complex() else x


def real_form(matrix: Tensor) -> Tensor:
    """The real matrix of a complex one on such pairs."""
    return torch.cat([torch.cat([matrix.real, -matrix.imag], 1), torch.cat([matrix.imag, matrix.real], 1)])


# measurement, one center, and the dense real matrix from the rows of the image to those of the data
CASES = {
    "real": (Measurement(normal(3), Matrix(REAL), White(STD)), normal(1, 4, seed=4), REAL),
    "complex": (
        Measurement(complex_normal(3), Matrix(COMPLEX), White(STD)),
        complex_normal(1, 4, seed=4),
        real_form(COMPLEX),
    ),
    "real image, complex data": (  # no closed form: conjugate gradients
        Measurement(complex_normal(3), Matrix(COMPLEX) @ RealToComplex((4,)), White(STD)),
        normal(1, 4, seed=4),
        real_form(COMPLEX)[:, :4],
    ),
}
every = pytest.mark.parametrize(("given", "center", "matrix"), CASES.values(), ids=CASES)


def law(given: Measurement, center: Tensor, matrix: Tensor, rho: float) -> tuple[Tensor, Tensor]:
    """Mean and covariance of exp(-|x - c|^2 / 2 rho^2) N(y; A x, STD^2 I) on rows."""
    precision = torch.eye(matrix.shape[1]).double() / rho**2 + matrix.T @ matrix / STD**2
    mean = torch.linalg.solve(precision, rows(center)[0] / rho**2 + matrix.T @ rows(given.y)[0] / STD**2)
    return mean, torch.linalg.inv(precision)


def check_moments(draws: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Each entry within five standard errors of Gaussian draws."""
    n, variances, gap = len(draws), covariance.diagonal(), rows(draws) - mean
    assert bool((gap.mean(0).abs() < 5 * (variances / n).sqrt()).all())
    error = ((variances[:, None] * variances + covariance.square()) / n).sqrt()
    assert bool((gap.T @ gap / n - covariance).abs().lt(5 * error).all())


@every
@pytest.mark.parametrize("rho", [0.1, 3.0])
def test_perturb_and_map_is_an_exact_draw(given, center, matrix, rho, generator):
    rho = torch.tensor(rho, dtype=torch.float64)
    draws = PerturbAndMap().draw(given, center.expand(N, -1), rho, generator)
    check_moments(draws, *law(given, center, matrix, float(rho)))


@every
def test_a_langevin_chain_has_the_bias_of_its_step(given, center, matrix, generator):
    """Covariance P^-1 (I - a P/2)^-1 with a = rate / (1/rho^2 + L), L the largest curvature of the likelihood."""
    rho, rate = torch.tensor(0.3, dtype=torch.float64), 0.4
    chain = MarkovChain(Langevin(rate), 150)
    draws = chain.draw(given, center.expand(N // 2, -1), rho, generator)
    mean, covariance = law(given, center, matrix, 0.3)
    precision = torch.linalg.inv(covariance)
    a = rate / torch.linalg.eigvalsh(precision)[-1]
    # the slowest mode has (1 - a / rho^2)^150 of the start left
    assert (1 - a / 0.09) ** 150 < 1e-3
    check_moments(draws, mean, torch.linalg.inv(precision - a / 2 * precision @ precision))


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_chain_makes_as_many_steps_as_it_says(steps, generator):
    """From the center, where the pull of the data is known: ascent closes the gap by the same factor in each step."""
    given, center = Measurement(torch.ones(1).double(), Identity((1,)), White(STD)), torch.zeros(1, 1).double()
    rho, rate = torch.tensor(0.3, dtype=torch.float64), 0.4
    found = MarkovChain(Ascent(rate), steps).draw(given, center, rho, generator)
    mode = 0.3**2 / (0.3**2 + STD**2)
    torch.testing.assert_close(found, torch.full((1, 1), mode * (1 - (1 - rate) ** steps)).double())


@every
def test_the_tethered_law_is_that_of_the_chain(given, center, matrix):
    density = Tethered(given, center, 0.3)
    x = center + 0.2 * (normal(5, 4, seed=7) if not center.is_complex() else complex_normal(5, 4, seed=7))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(density.log_prob(x).sum(), x)
    torch.testing.assert_close(density.score(x.detach(), 1.0), gradient)
    mean, covariance = law(given, center, matrix, 0.3)
    gap = rows(x.detach()) - mean
    quadratic = -0.5 * (gap @ torch.linalg.inv(covariance) * gap).sum(1)
    found = density.log_prob(x.detach())
    torch.testing.assert_close(found - found[0], quadratic - quadratic[0])


# --- walks within a step


@pytest.mark.parametrize("sigma", [0.05, 0.7, 30.0])
@pytest.mark.parametrize("schedule", [Karras(0.01, 40.0), Geometric(0.01, 40.0)], ids=lambda s: type(s).__name__)
def test_the_grid_below_a_level_is_the_schedule_that_starts_there(schedule, sigma):
    found = Descent(Heun(), schedule, 9).grid(torch.tensor(sigma, dtype=torch.float64))
    expected = type(schedule)(0.01, sigma).grid(9)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    assert found[0] == sigma


@pytest.mark.parametrize("schedule", [Karras(0.01, 40.0), Geometric(0.01, 40.0), LogNormal()])
@pytest.mark.parametrize("sigma", [1e-4, 0.01, 0.3, 500.0])
def test_every_grid_falls_from_the_level_to_zero(schedule, sigma):
    for steps in (1, 2, 30):
        grid = Descent(Heun(), schedule, steps).grid(torch.tensor(sigma, dtype=torch.float64))
        assert 2 <= len(grid) <= steps + 1
        assert grid[0] == sigma
        assert grid[-1] == 0
        assert bool((grid.diff() < 0).all())


def test_one_step_is_the_denoised_image(generator):
    prior, x, sigma = DiagonalGaussian(torch.ones(4).double(), torch.tensor(2.0)), normal(5, 4), torch.tensor(0.8)
    for kernel in (Heun(), Ancestral()):
        found = Descent(kernel, Karras(), 1)(prior, x, sigma, generator)
        torch.testing.assert_close(found, prior.denoise(x, sigma))


@pytest.mark.parametrize("make", [lambda: Descent(Heun(), Karras(), 0), lambda: MarkovChain(steps=0)])
def test_bad_numbers_are_refused(make):
    with pytest.raises(InputError, match="at least 1 step"):
        make()
