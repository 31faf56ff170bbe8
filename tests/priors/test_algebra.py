from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Fourier, Mask, Matrix
from scorefield.prior import Denoiser, Prior, level
from scorefield.priors.algebra import AsComplex, IndependentParts
from scorefield.priors.gaussian import DiagonalGaussian, Gaussian
from scorefield.priors.scaled import Scaled
from scorefield.priors.tv import TotalVariation

LEVELS = torch.tensor([0.1, 0.3, 2.0], dtype=torch.float64)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def crandn(*shape: int, seed: int = 0) -> Tensor:
    return randn(*shape, seed=seed, dtype=torch.complex128)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


class Learned(Denoiser):
    """Stands for a network: any size, Jacobian not symmetric, counts its calls, and has a coin."""

    def __init__(self, coin: int = 0):
        super().__init__()
        self.coin, self.calls = coin, 0

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        self.calls += 1
        neighbors = x.roll(1, -1) + 0.5 * x.roll(2, 1)
        return (torch.sin(x + self.coin) + neighbors) / (1 + level(sigma, x).square())

    def draw(self, generator: torch.Generator | None = None) -> Learned:
        return Learned(int(torch.randint(1, 1000, (), generator=generator)))


def directional(prior: Prior, x: Tensor, u: Tensor) -> Tensor:
    h = 1e-6
    return (prior.denoise(x + h * u, LEVELS) - prior.denoise(x - h * u, LEVELS)) / (2 * h)


@pytest.mark.parametrize("make", [AsComplex, IndependentParts])
def test_vjp_is_the_transpose_in_the_real_inner_product(make):
    prior = make(Learned())
    x, u, v = (crandn(3, 2, 4, 5, seed=s) for s in range(3))
    denoised, vjp = prior.linearize(x, LEVELS)
    close(denoised, prior.denoise(x, LEVELS))
    close(inner(directional(prior, x, u), v), inner(u, vjp(v)), 1e-7)
    assert (vjp(u) - directional(prior, x, u)).abs().max() > 0.1  # the two sides are told apart


def test_scaled_vjp_is_the_transpose():
    prior = Scaled(Learned(), 2.5, -1.0)
    x, u, v = (randn(3, 2, 4, 5, seed=s) for s in range(3))
    denoised, vjp = prior.linearize(x, LEVELS)
    close(denoised, prior.denoise(x, LEVELS))
    close(inner(directional(prior, x, u), v), inner(u, vjp(v)), 1e-7)


def test_as_complex_puts_real_channels_first():
    x = crandn(3, 2, 4, 5)
    parts = Learned().denoise(torch.cat([x.real, x.imag], dim=1), LEVELS)
    close(AsComplex(Learned()).denoise(x, LEVELS), torch.complex(parts[:, :2], parts[:, 2:]))
    assert AsComplex(DiagonalGaussian(torch.zeros(4, 5, 6), torch.ones(1))).event_shape == (2, 5, 6)


def test_independent_parts_are_denoised_in_one_call():
    x, network = crandn(3, 2, 4, 5), Learned()
    found = IndependentParts(network).denoise(x, LEVELS)
    assert network.calls == 1
    close(found, torch.complex(network.denoise(x.real, LEVELS), network.denoise(x.imag, LEVELS)))


def test_scaling_a_gaussian_scales_its_moments():
    mean, covariance = randn(4), torch.diag(torch.tensor([0.5, 1.0, 2.0, 3.0])).double() + 0.3
    x = 5 * randn(3, 4, seed=1)
    found, expected = Scaled(Gaussian(mean, covariance), 3.0, -1.5), Gaussian(3 * mean - 1.5, 9 * covariance)
    close(found.log_prob(x, LEVELS), expected.log_prob(x, LEVELS))
    close(found.score(x, LEVELS), expected.score(x, LEVELS))
    close(found.denoise(x, LEVELS), expected.denoise(x, LEVELS))
    measurement = Measurement(randn(2, seed=2), Matrix(randn(2, 4, seed=3)), White(0.5))
    found, expected = found.posterior(measurement), expected.posterior(measurement)
    close(found.log_prob(x, LEVELS), expected.log_prob(x, LEVELS))
    close(found.denoise(x, LEVELS), expected.denoise(x, LEVELS))


def test_scalings_compose_and_one_is_the_identity():
    prior, x = Learned(), randn(3, 1, 4, 5)
    close(Scaled(prior, 1.0).denoise(x, LEVELS), prior.denoise(x, LEVELS), 0)
    twice = Scaled(Scaled(prior, 2.0, 1.0), 3.0, -4.0)
    close(twice.denoise(x, LEVELS), Scaled(prior, 6.0, -1.0).denoise(x, LEVELS))


def test_as_complex_posterior_from_fourier_samples():
    # modes of a white prior are independent: a gain 4 s/(4 s + r) where sampled, 0 elsewhere
    law = DiagonalGaussian(randn(2, 3, 4), torch.tensor([0.7], dtype=torch.float64))
    operator = Mask(torch.tensor([1.0, 0.0, 1.0, 1.0]).double(), (1, 3, 4)) @ Fourier((1, 3, 4))
    y = operator(crandn(1, 1, 3, 4, seed=1))
    found = Scaled(AsComplex(law), 2.0, 0.5).posterior(Measurement(y, operator, White(0.3)))
    mean = 2 * torch.complex(law.mean[:1], law.mean[1:]).unsqueeze(0) + 0.5
    gain = 2.8 / (2.8 + 0.09)
    expected = mean + gain * operator.H(y - operator(mean))
    close(found.denoise(crandn(1, 1, 3, 4, seed=2), 1e6), expected, 1e-5)
    # at a finite level, against the same problem with its matrix
    dense = Gaussian(law.mean, 0.7 * torch.eye(24, dtype=torch.float64))
    exact = Scaled(AsComplex(dense), 2.0, 0.5).posterior(Measurement(y, operator, White(0.3)))
    x = crandn(3, 1, 3, 4, seed=3)
    close(found.denoise(x, LEVELS), exact.denoise(x, LEVELS))
    close(found.score(x, LEVELS), exact.score(x, LEVELS), 1e-8)


def test_as_complex_posterior_of_two_channels():
    law = DiagonalGaussian(randn(4, 3), randn(4, 3, seed=1).exp())
    weights = torch.tensor([[0.5, 1.0, 2.0], [3.0, 0.0, 1.5]], dtype=torch.float64)
    y = crandn(2, 3, seed=2)
    found = AsComplex(law).posterior(Measurement(y, Mask(weights, (2, 3)), White(0.4)))
    # every element on its own: precision 1/v + w^2/r, for the real and imaginary parts alike
    precision = 1 / law.variance + weights.repeat(2, 1).square() / 0.16
    pull = law.mean / law.variance + torch.cat([y.real, y.imag]) * weights.repeat(2, 1) / 0.16
    expected = AsComplex(DiagonalGaussian(pull / precision, 1 / precision))
    x = crandn(3, 2, 3, seed=3)
    close(found.denoise(x, LEVELS), expected.denoise(x, LEVELS))
    close(found.score(x, LEVELS), expected.score(x, LEVELS), 1e-8)


@pytest.mark.parametrize("make", [AsComplex, IndependentParts, lambda p: Scaled(p, 2.0, 1.0)])
def test_draw_fixes_the_coin_inside(make):
    prior = make(Learned())
    drawn = prior.draw(torch.Generator().manual_seed(3))
    assert type(drawn) is type(prior)
    expected = Learned().draw(torch.Generator().manual_seed(3))
    assert drawn.prior.coin == expected.coin
    x = crandn(3, 2, 4, 5) if make in (AsComplex, IndependentParts) else randn(3, 2, 4, 5)
    close(drawn.denoise(x, LEVELS), make(expected).denoise(x, LEVELS))


@pytest.mark.parametrize("make", [AsComplex, IndependentParts, lambda p: Scaled(p, 2.0)])
def test_what_the_prior_cannot_the_wrapped_one_says(make):
    prior = make(Learned())
    assert prior.event_shape is None
    x = crandn(3, 2, 4, 5) if make in (AsComplex, IndependentParts) else randn(3, 2, 4, 5)
    with pytest.raises(InputError, match="Learned has no log-density"):
        prior.log_prob(x)
    with pytest.raises(InputError, match="Learned has no exact draws"):
        prior.rsample(2)


def test_a_density_without_draws():
    prior, x = Scaled(TotalVariation(0.5), 2.0), randn(2, 1, 3, 4)
    gap = prior.log_prob(x) - TotalVariation(0.25).log_prob(x)
    close(gap, torch.full((2,), -12 * math.log(2), dtype=torch.float64))  # the volume of the units
    with pytest.raises(InputError, match="exact draws"):
        prior.rsample(1)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Scaled(Learned(), 0.0), "scale"),
        (lambda: Scaled(Learned(), -1.0), "scale"),
        (lambda: Scaled(Learned(), float("nan")), "scale"),
        (lambda: Scaled(Learned(), 1.0, float("inf")), "offset"),
        (lambda: AsComplex(DiagonalGaussian(torch.zeros(3, 4), torch.ones(1))), "IndependentParts"),
        (lambda: AsComplex(Learned()).denoise(randn(1, 2, 3, 3), 1.0), "complex images"),
        (lambda: IndependentParts(Learned()).score(randn(1, 2, 3, 3), 1.0), "complex images"),
    ],
)
def test_refuses(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
