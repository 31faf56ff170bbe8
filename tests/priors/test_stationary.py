from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Fourier, Mask
from scorefield.priors.algebra import AsComplex
from scorefield.priors.gaussian import Gaussian
from scorefield.priors.stationary import StationaryGaussian

LEVELS = torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def spectrum(*shape: int) -> Tensor:
    """The periodogram of an image, hence a spectrum: even where it should be, for even and odd sizes."""
    axes = tuple(range(1, len(shape)))
    return torch.fft.fftshift(torch.fft.fftn(randn(*shape, seed=3), dim=axes, norm="ortho"), dim=axes).abs() + 0.1


def prior(*shape: int) -> StationaryGaussian:
    return StationaryGaussian(randn(*shape), spectrum(*shape))


def dense(law: StationaryGaussian) -> Gaussian:
    d = law.mean.numel()
    covariance = law.covary(torch.eye(d, dtype=torch.float64).reshape(d, *law.event_shape)).flatten(1)
    return Gaussian(law.mean, covariance)


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 5), (1, 2, 3, 2)])
def test_is_the_dense_gaussian_of_its_covariance(shape):
    law, x = prior(*shape), randn(3, *shape, seed=1)
    exact = dense(law)
    close(law.score(x, LEVELS), exact.score(x, LEVELS))
    close(law.denoise(x, LEVELS), exact.denoise(x, LEVELS))
    close(law.log_prob(x, LEVELS), exact.log_prob(x, LEVELS))
    n = 20_000
    gap = (law.rsample(n, torch.Generator().manual_seed(0)) - law.mean).flatten(1)
    variances = exact.covariance.diagonal()
    error = ((variances[:, None] * variances + exact.covariance.square()) / n).sqrt()
    assert bool(((gap.T @ gap / n - exact.covariance).abs() < 5 * error).all())


def test_the_covariance_does_not_change_under_shifts():
    law, v = prior(2, 3, 4), randn(3, 2, 3, 4, seed=1)
    close(law.covary(v.roll((1, 2), (2, 3))), law.covary(v).roll((1, 2), (2, 3)))


@pytest.mark.parametrize("shape", [(4, 6), (3, 5), (4, 5)])
def test_zero_frequency_is_in_the_center(shape):
    power = torch.zeros(shape, dtype=torch.float64)
    power[tuple(n // 2 for n in shape)] = 1.0
    law = StationaryGaussian(torch.zeros(1, *shape, dtype=torch.float64), power)
    draws = law.rsample(3).flatten(1)
    close(draws, draws[:, :1].expand_as(draws))
    assert draws.abs().min() > 0
    flat = torch.ones(1, 1, *shape, dtype=torch.float64)
    close(law.covary(flat), flat)


def test_one_spectrum_serves_all_channels():
    one, mean, x = spectrum(1, 3, 4)[0], randn(2, 3, 4), randn(3, 2, 3, 4, seed=1)
    each = StationaryGaussian(mean, one.expand(2, 3, 4))
    close(StationaryGaussian(mean, one).log_prob(x, LEVELS), each.log_prob(x, LEVELS))


def test_posterior_is_the_dense_one():
    law, x = prior(2, 3, 4), randn(3, 2, 3, 4, seed=1)
    operator = Mask((randn(2, 3, 4, seed=5) > 0).double(), (2, 3, 4))
    measurement = Measurement(randn(2, 3, 4, seed=6) * operator.mask, operator, White(0.3))
    free, exact = law.posterior(measurement), dense(law).posterior(measurement)
    close(free.mean, exact.mean)
    close(free.denoise(x, LEVELS), exact.denoise(x, LEVELS))
    close(free.score(x, LEVELS), exact.score(x, LEVELS), 1e-8)
    close(free.covary(x), exact.covary(x))


def complex_prior() -> StationaryGaussian:
    return StationaryGaussian(randn(1, 3, 4, dtype=torch.complex128), randn(3, 4, seed=2).exp())


def lifted(law: StationaryGaussian) -> AsComplex:
    """The same law as a dense Gaussian over two real channels."""
    units = torch.eye(24, dtype=torch.float64).reshape(24, 2, 3, 4)
    columns = law.covary(torch.complex(units[:, :1], units[:, 1:]))
    covariance = torch.cat([columns.real, columns.imag], dim=1).flatten(1).T
    return AsComplex(Gaussian(torch.cat([law.mean.real, law.mean.imag]), covariance))


def test_complex_images_with_any_spectrum():
    law, x = complex_prior(), randn(3, 1, 3, 4, seed=1, dtype=torch.complex128)
    exact = lifted(law)
    close(law.score(x, LEVELS), exact.score(x, LEVELS))
    close(law.denoise(x, LEVELS), exact.denoise(x, LEVELS))
    close(law.log_prob(x, LEVELS), exact.log_prob(x, LEVELS))


def test_complex_posterior_from_fourier_samples():
    law, x = complex_prior(), randn(3, 1, 3, 4, seed=1, dtype=torch.complex128)
    mask = Mask(torch.tensor([1.0, 0.0, 1.0, 1.0]).double(), (1, 3, 4))
    operator = mask @ Fourier((1, 3, 4))
    y = operator(randn(1, 1, 3, 4, seed=6, dtype=torch.complex128))
    measurement = Measurement(y, operator, White(0.3))
    free, exact = law.posterior(measurement), lifted(law).posterior(measurement)
    close(free.denoise(x, LEVELS), exact.denoise(x, LEVELS))
    close(free.score(x, LEVELS), exact.score(x, LEVELS), 1e-8)
    # both diagonal in the Fourier basis, so mode by mode: S y + r m over S + r where sampled, m where not
    centered = operator.inner(law.mean.unsqueeze(0))
    gain = law.spectrum / (law.spectrum + 0.09) * mask.mask
    close(operator.inner(free.mean.unsqueeze(0)), centered + gain * (y - centered))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_fit_finds_the_law(dtype):
    n = 4000
    power = spectrum(2, 3, 4)
    law = StationaryGaussian(torch.tensor([0.5, -2.0], dtype=dtype)[:, None, None].expand(2, 3, 4), power)
    found = StationaryGaussian.fit(law.rsample(n, torch.Generator().manual_seed(0)))
    # a mode's power is chi-square: one degree of freedom for a real mode at worst
    assert bool(((found.spectrum / power - 1).abs() < 5 * math.sqrt(2 / n)).all())
    zero = power[:, 1, 2] / 12  # variance of an image's average
    gap = (found.mean - law.mean)[:, 0, 0].abs()
    assert bool((gap < 5 * (2 * zero / n).sqrt()).all())


def test_fit_is_unbiased_from_two_images():
    power, n = spectrum(1, 3, 4), 4000
    law = StationaryGaussian(torch.zeros(1, 3, 4, dtype=torch.float64), power)
    draws = law.rsample(2 * n, torch.Generator().manual_seed(0)).reshape(n, 2, 1, 3, 4)
    found = torch.stack([StationaryGaussian.fit(pair).spectrum for pair in draws])
    assert bool(((found.mean(0) - power).abs() < 5 * found.std(0) / math.sqrt(n)).all())


@pytest.mark.parametrize(
    ("mean", "power", "sentence"),
    [
        (torch.zeros(4), torch.ones(4), "spatial"),
        (torch.zeros(1, 4), torch.ones(5), "spectrum of shape"),
        (torch.zeros(1, 4), -torch.ones(4), ">= 0"),
        (torch.zeros(1, 4), torch.ones(4) + 0j, "complex"),
        (torch.zeros(1, 4), torch.tensor([1.0, 1.0, 2.0, 3.0]), "symmetric"),
        (torch.zeros(1, 4), torch.tensor([1.0, torch.nan, 2.0, 3.0]), "NaN"),
        (torch.full((1, 4), torch.inf), torch.ones(4), "NaN or infinite"),
    ],
)
def test_refuses(mean, power, sentence):
    with pytest.raises(InputError, match=sentence):
        StationaryGaussian(mean, power)


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (5, 4)])
def test_fit_refuses_less_than_two_images(shape):
    with pytest.raises(InputError, match="two images"):
        StationaryGaussian.fit(torch.zeros(shape))


def test_fit_of_signals_by_hand():
    # two signals of two samples: modes (a + b)/sqrt2 and (a - b)/sqrt2, the mean 1/4 (1 + 2 + 3 + 8) removed
    found = StationaryGaussian.fit(torch.tensor([[[1.0, 2.0]], [[3.0, 8.0]]], dtype=torch.float64))
    close(found.mean, torch.full((1, 2), 3.5, dtype=torch.float64))
    slow, fast = (4.0**2 + 4.0**2) / 2 / 1, (1.0**2 + 5.0**2) / 2 / 2
    close(found.spectrum, torch.tensor([[fast, slow]], dtype=torch.float64))
