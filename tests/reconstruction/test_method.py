"""The default method: particles where few data make them affordable, MMPS elsewhere; and where they start."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from benches import mcg_mixture, tb_m
from torch import nn

from scorefield.calibration import Yardstick, mode_weights, sliced_wasserstein
from scorefield.errors import InputError
from scorefield.kernels import Particles
from scorefield.measurement import Measurement
from scorefield.nets import UNet
from scorefield.noise import White
from scorefield.operators import Identity, Matrix, Sample
from scorefield.posteriors import MMPS
from scorefield.prior import Denoiser
from scorefield.priors import (
    DiagonalGaussian,
    Gaussian,
    Homogeneous,
    Network,
    StationaryGaussian,
    TotalVariation,
)
from scorefield.reconstruction.method import POPULATION, Method, default_method, width_of
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.store.checkpoint import Card
from support import normal

M = tb_m()


def chosen(prior, measurement, n=16):
    image = torch.zeros(1, *measurement.shape, dtype=torch.float64)
    return default_method(prior, measurement, image, n, 1.0)


def row(*values: float) -> Matrix:
    return Matrix(torch.tensor([values], dtype=torch.float64))


# --- how wide a prior is


@pytest.mark.parametrize("width", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("mean", [0.0, 30.0])
@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_a_gaussian_tells_its_width(width, mean, scale):
    """Root of the trace, by 64 probes of 9 numbers each: the variance has a standard error of sqrt(2 / 576)."""
    prior = DiagonalGaussian(torch.full((9,), mean).double(), torch.tensor(width**2).double())
    found = width_of(prior, torch.zeros(1, 9).double(), scale)
    assert found is not None
    assert abs((found / (3 * width)) ** 2 - 1) < 4 * (2 / 576) ** 0.5 + 0.01


def test_distant_modes_count_as_width():
    """The mixture of 25, asked from the scale of one mode too; its two directions make 128 numbers of the probes."""
    bench = mcg_mixture(8, 2)
    draws = bench.prior.rsample(20_000, torch.Generator().manual_seed(0))
    width = float((draws - draws.mean(0)).square().sum(1).mean().sqrt())
    for scale in (0.01, 1.0, 100.0):
        found = width_of(bench.prior, torch.zeros(1, 8).double(), scale)
        assert found is not None
        assert 0.7 * width < found < 1.3 * width


def homogeneous() -> Network:
    prior = Network(UNet(widths=(4, 6), blocks=1).double(), Homogeneous())
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.05)
    return prior


class Never(Denoiser):
    """A law that is known at no level."""

    def denoise(self, x, sigma):
        raise InputError("Known at no level.")


@pytest.mark.parametrize(
    "prior", [homogeneous(), Never(), TotalVariation(1.0)], ids=["homogeneous", "never", "improper"]
)
def test_some_laws_have_no_width(prior):
    assert width_of(prior, torch.zeros(1, 1, 8, 8).double(), 1.0) is None


# --- when


def test_few_data_of_a_known_law_take_particles():
    method = chosen(M.prior, M.measurement, n=16)
    assert isinstance(method.kernel, Particles)
    assert method.batch == 16
    assert 16 * method.kernel.oversampling >= POPULATION  # a few draws are drawn of as many particles


def test_other_problems_take_the_method_of_scans():
    learned = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    learned.card = Card("test")
    first = Measurement(torch.ones(1).double(), row(1.0, 0.0), White(1.0))
    drawn = reconstruct(learned, first, n=2)
    assert drawn.cost.evaluations == Method().steps + 2  # in units of its own
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[0, 0] = True
    corner = Measurement(torch.ones(1, 1).double(), Sample(mask, (1, 8, 8)), White(1.0))
    assert reconstruct(homogeneous(), corner, n=2).cost.evaluations == Method().steps + 2  # a network


def test_many_data_or_numbers_take_mmps_from_above_the_width():
    """The first level is twice the intensity, here 1, or five times the width of one number of the image."""
    for width, first in ((0.1, 2.0), (3.0, 15.0)):
        many = Gaussian(torch.zeros(17).double(), width**2 * torch.eye(17).double())
        large = DiagonalGaussian(torch.zeros(2000).double(), torch.tensor(width**2).double())
        seen = Measurement(torch.zeros(1).double(), Matrix(torch.ones(1, 2000).double()), White(1.0))
        for prior, given in ((many, Measurement(torch.zeros(17).double(), Identity((17,)), White(1.0))), (large, seen)):
            method = chosen(prior, given)
            assert method.posterior is MMPS
            assert method.sigma_max == pytest.approx(first, rel=0.2)


def test_the_data_are_not_few_but_leave_much_open():
    """What is hardly measured must spread as the prior does, though the scan is dark: 24 of 2304 pixels of a field."""
    gen = torch.Generator().manual_seed(1)
    frequency = torch.arange(48).double() - 24
    power = (1 + (frequency[:, None].square() + frequency.square()) / 36).pow(-1.5)
    prior = StationaryGaussian(torch.zeros(1, 48, 48).double(), power / power.mean())
    seen = Sample(torch.rand(1, 48, 48, generator=gen) < 0.01, (1, 48, 48))
    y = seen(0.1 * prior.rsample(1, gen))
    given = Measurement(y, seen, White(0.05))
    exact = prior.posterior(given).rsample(200, gen).std(0).mean()
    found = reconstruct(prior, given, n=64, seed=0).std.mean()
    assert float(found / exact) == pytest.approx(1, abs=0.05)


def test_the_callers_method_goes_first():
    drawn = reconstruct(M.prior, M.measurement, n=2, seed=0, method=Method(steps=5))
    assert drawn.cost.evaluations == 7


# --- how near


@pytest.mark.parametrize("noise", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_draws_spread_as_far_as_the_data_leave_open(noise, mean):
    """Standard deviations, measured and not, of 4000 draws: to five standard errors and what the levels leave."""
    prior = Gaussian(torch.full((2,), mean).double(), torch.eye(2).double())
    given = Measurement(torch.tensor([mean + 0.5]).double(), row(1.0, 0.0), White(noise))
    exact = prior.posterior(given).covariance.diagonal().sqrt()
    found = reconstruct(prior, given, n=4000, seed=0).std
    assert bool((found / exact - 1).abs().max() < 5 / 8000**0.5)


def test_the_default_gets_mode_weights_right():
    """TB-M, by the standard error of 2000 draws; MMPS is off by 0.2."""
    drawn = reconstruct(M.prior, M.measurement, n=2000, seed=0).draws
    found = mode_weights(drawn, M.posterior.means)
    errors = (M.weights * (1 - M.weights) / len(drawn)).sqrt()
    assert bool(((found - M.weights).abs() < 4 * errors + 1e-3).all())


@pytest.mark.parametrize(("size", "seed"), [((8, 1), 106), ((8, 1), 119), ((8, 4), 3)])
def test_the_default_is_as_near_as_exact_draws_on_the_mixture_of_25(size, seed):
    """At most 1.6 times the distance of exact samples, the gate for the worst problem, by the interval of 8 seeds.

    The first two are problems on which the twist without caution leaves modes out.
    """
    bench = mcg_mixture(*size, seed)
    method = replace(chosen(bench.prior, bench.measurement, 200), batch=200)

    def distance(a, b):
        return sliced_wasserstein(a, b, directions=50, generator=torch.Generator().manual_seed(0))

    generator = torch.Generator().manual_seed(0)
    stick = Yardstick(distance, bench.posterior.rsample, 200, repeats=8, pairs=64, generator=generator)
    kernel = replace(method.kernel, oversampling=10)  # a quarter of the default: a test of seconds
    runs = [
        reconstruct(bench.prior, bench.measurement, n=200, seed=s, method=replace(method, kernel=kernel))
        for s in range(8)
    ]
    assert stick(*(run.draws for run in runs)).high < 1.6


def test_how_many_particles_the_network_takes_at_a_time_changes_nothing():
    from scorefield.sampling import sample
    from scorefield.schedules import Karras

    like = torch.empty(0, dtype=torch.float64)
    grid = Karras(0.01, 40.0).grid(20)
    one, other = (
        sample(M.prior, Particles(M.measurement, at_once=k), grid, n=50, seed=0, like=like.new_empty((2,))).draws
        for k in (None, 7)
    )
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_any_unit():
    """Data, noise and prior in other units give the same draws in those units."""
    prior = Gaussian(normal(2), torch.tensor([[1.0, 0.3], [0.3, 0.5]]).double())
    scaled = Gaussian(50 * prior.mean, 2500 * prior.covariance)
    a = row(1.0, 0.5)
    one = reconstruct(prior, Measurement(torch.ones(1).double(), a, White(0.3)), n=4, seed=0)
    other = reconstruct(scaled, Measurement(50 * torch.ones(1).double(), a, White(15.0)), n=4, seed=0)
    torch.testing.assert_close(other.draws / 50, one.draws, rtol=1e-6, atol=1e-6)
