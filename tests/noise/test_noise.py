"""Noise: one convention, a standard deviation per real component, followed from the generator to the density."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.errors import InputError
from scorefield.kernels import Ancestral
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.priors.algebra import AsComplex, IndependentParts
from scorefield.priors.gaussian import Gaussian
from scorefield.priors.stationary import StationaryGaussian
from scorefield.randomness import normal_like
from scorefield.sampling import walk
from scorefield.schedules import Karras
from support import ancestral_variance, complex_normal, normal

N = 100_000


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_every_real_component_has_variance_1(dtype, generator):
    z = normal_like(torch.empty(N, dtype=dtype), generator)
    parts = torch.view_as_real(z) if z.is_complex() else z.unsqueeze(-1)
    assert z.dtype == dtype
    assert parts.mean(0).abs().max().item() < 4 / math.sqrt(N)
    covariance = parts.T @ parts / N
    identity = torch.eye(len(covariance), dtype=torch.float64)
    assert (covariance - identity).abs().max().item() < 4 * math.sqrt(2 / N)


def test_a_view_of_the_images_is_no_obstacle(generator):
    x = complex_normal(3, 4)
    for like in (x.conj(), x.T, x.real.expand(2, 3, 4)):
        assert normal_like(like, generator).shape == like.shape
        assert White(0.1).sample(like, generator).dtype == like.dtype


@pytest.mark.parametrize("draw", [normal, complex_normal])
def test_log_prob_is_torchs_normal(draw):
    residual = draw(3, 2, 5)
    law = torch.distributions.Normal(0.0, torch.tensor(0.7, dtype=torch.float64))
    parts = torch.view_as_real(residual) if residual.is_complex() else residual
    torch.testing.assert_close(White(0.7).log_prob(residual), law.log_prob(parts).flatten(1).sum(1))
    # a conjugate view has the same length, hence the same density
    torch.testing.assert_close(White(0.7).log_prob(residual.conj()), law.log_prob(parts).flatten(1).sum(1))


@pytest.mark.parametrize("draw", [normal, complex_normal])
def test_whitening_is_a_square_root_of_the_precision(draw):
    noise, residual = White(0.7), draw(3, 2, 5)
    torch.testing.assert_close(noise.whiten(noise.whiten(residual)), noise.solve(residual))
    torch.testing.assert_close(noise.solve(residual), residual / 0.49)
    assert noise.whiten(residual.to(torch.complex64)).dtype == torch.complex64  # never promoted


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_samples_have_the_variance_the_noise_states(dtype, generator):
    noise = White(0.7)
    n = noise.sample(torch.zeros(N, dtype=dtype), generator)
    components = 2 if n.is_complex() else 1
    mean_square = n.abs().square().mean().item() / components
    assert mean_square == pytest.approx(float(noise.variance), abs=4 * 0.49 * math.sqrt(2 / (components * N)))
    # and are as probable as normal numbers should be: E log p = -(1 + log 2 pi v) / 2 for each component
    expected = -0.5 * components * (1 + math.log(2 * math.pi * 0.49))
    assert noise.log_prob(n.unsqueeze(1)).mean().item() == pytest.approx(expected, abs=4 / math.sqrt(N))


@pytest.mark.parametrize("std", [0.0, -1.0, math.nan, math.inf])
def test_bad_levels_are_refused(std):
    with pytest.raises(InputError, match="positive finite std"):
        White(std)


def complex_priors():
    """Laws of complex images, and the variances of all their real components in some orthonormal basis."""
    spectrum = torch.tensor([[0.4, 1.2, 0.4], [0.1, 0.3, 0.1]], dtype=torch.float64)
    covariance = torch.tensor([[1.0, 0.5], [0.5, 0.6]], dtype=torch.float64)
    values = torch.linalg.eigvalsh(covariance)
    gaussian = Gaussian(torch.zeros(2, dtype=torch.float64), covariance)
    stationary = StationaryGaussian(torch.zeros(1, 2, 3, dtype=torch.complex128), spectrum)
    return [
        pytest.param(stationary, spectrum.flatten().repeat(2), id="stationary"),
        pytest.param(IndependentParts(gaussian), values.repeat(2), id="parts"),
        pytest.param(AsComplex(gaussian), values, id="channels"),
    ]


@pytest.mark.parametrize(("prior", "variances"), complex_priors())
def test_complex_images_end_to_end(prior, variances, generator):
    """Starting noise, fresh noise and Tweedie's formula must share the convention for the walk to end right."""
    n = 6000
    sigmas = Karras(0.01, 10.0).grid(40)
    blank = torch.empty(n, *prior.event_shape, dtype=torch.complex128)
    *_, last = walk(prior, Ancestral(), sigmas[0] * normal_like(blank, generator), sigmas, generator)
    energy = last.x.abs().square().flatten(1).sum(1)
    error = energy.std().item() / math.sqrt(n)
    expected = ancestral_variance(variances, sigmas).sum().item()
    assert energy.mean().item() == pytest.approx(expected, abs=4 * error)
    # and the steps were fine enough that this is the law's own energy, not that of another convention
    assert expected == pytest.approx(variances.sum().item(), rel=0.2)


def test_complex_data_carry_the_same_convention(generator):
    """The log-density of simulated complex data is that of two real numbers for each."""
    from scorefield.measurement import Measurement

    noise = White(0.3)
    y = noise.sample(torch.zeros(1, N, dtype=torch.complex128), generator)
    given = Measurement(y, Identity((N,)), noise)
    zero = torch.zeros(1, N, dtype=torch.complex128)
    expected = -N * (1 + math.log(2 * math.pi * 0.09))
    assert given.log_likelihood(zero).item() == pytest.approx(expected, abs=4 * math.sqrt(N))
