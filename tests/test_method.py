"""The default method: particles where few data make them affordable, MMPS elsewhere; and where they start."""

from __future__ import annotations

import pytest
import torch
from benches import mcg_mixture, tb_m
from torch import nn

from scorefield.calibrate import floor, mode_weights, sliced_wasserstein
from scorefield.checkpoint import Card
from scorefield.kernels import Particles
from scorefield.measurement import Measurement
from scorefield.method import POPULATION, Method, for_few_data, level_above
from scorefield.nets import UNet
from scorefield.noise import White
from scorefield.operators import Identity, Matrix
from scorefield.priors import DiagonalGaussian, Gaussian, Homogeneous, Network
from scorefield.reconstruct import reconstruct
from support import normal

M = tb_m()


def chosen(prior, measurement, n=16):
    image = torch.zeros(1, *measurement.shape, dtype=torch.float64)
    return for_few_data(prior, measurement, image, n, 1.0)


# --- where particles start


@pytest.mark.parametrize("width", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_walks_start_five_to_ten_widths_up(width, mean):
    """From below: the first doubling at which sigma >= 5 sqrt(trace), less the little that the level hides of it."""
    prior = DiagonalGaussian(torch.full((9,), mean).double(), torch.tensor(width**2).double())
    trace = 3 * width
    level = level_above(prior, torch.zeros(1, 9).double(), 1e-2 * width)
    assert level is not None
    assert 4.5 * trace < level < 11 * trace


def test_a_level_that_is_high_enough_is_kept():
    prior = DiagonalGaussian(torch.zeros(4).double(), torch.tensor(1.0).double())
    assert level_above(prior, torch.zeros(1, 4).double(), 1000.0) == 1000.0


def test_distant_modes_count_as_width():
    """The mixture of 25: its deviation is sqrt(8 * 128 + 8), that of each component 1."""
    bench = mcg_mixture(8, 2)
    level = level_above(bench.prior, torch.zeros(1, 8).double(), 0.1)
    draws = bench.prior.rsample(20_000, torch.Generator().manual_seed(0))
    width = float((draws - draws.mean(0)).square().sum(1).mean().sqrt())
    assert level is not None
    assert 4.5 * width < level < 11 * width


def homogeneous() -> Network:
    prior = Network(UNet(widths=(4, 6), blocks=1).double(), Homogeneous())
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.05)
    return prior


def test_a_prior_without_units_has_no_width():
    assert level_above(homogeneous(), torch.zeros(1, 1, 8, 8).double(), 1.0) is None


# --- when


def test_few_data_of_a_known_law_take_particles():
    method = chosen(M.prior, M.measurement, n=16)
    assert method is not None
    assert isinstance(method.kernel, Particles)
    assert method.batch == 16
    assert 16 * method.kernel.oversampling >= POPULATION  # a few draws are drawn of as many particles


def test_all_else_takes_the_method_of_scans():
    many = Gaussian(torch.zeros(17).double(), torch.eye(17).double())
    y = Measurement(torch.zeros(17).double(), Identity((17,)), White(1.0))
    assert chosen(many, y) is None  # too many data
    large = DiagonalGaussian(torch.zeros(2000).double(), torch.tensor(1.0).double())
    seen = Measurement(torch.zeros(1).double(), Matrix(torch.ones(1, 2000).double()), White(1.0))
    assert chosen(large, seen) is None  # too large an image
    learned = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    learned.card = Card("test")
    assert chosen(learned, M.measurement) is None  # in units of its own
    network = homogeneous()
    corner = torch.zeros(1, 64).double().index_fill(1, torch.tensor([0]), 1.0)
    image = torch.zeros(1, 1, 8, 8).double()
    assert for_few_data(network, Measurement(torch.ones(1).double(), Matrix(corner), White(1.0)), image, 2, 1.0) is None


def test_the_callers_method_goes_first():
    drawn = reconstruct(M.prior, M.measurement, n=2, seed=0, method=Method(steps=5))
    assert drawn.cost.evaluations == 6


# --- how near


def test_the_default_gets_mode_weights_right():
    """TB-M, by the standard error of 2000 draws; MMPS is off by 0.2."""
    drawn = reconstruct(M.prior, M.measurement, n=2000, seed=0).draws
    found = mode_weights(drawn, M.posterior.means)
    errors = (M.weights * (1 - M.weights) / len(drawn)).sqrt()
    assert bool(((found - M.weights).abs() < 4 * errors + 1e-3).all())


@pytest.mark.parametrize("size", [(8, 1), (8, 4)])
def test_the_default_is_within_twice_the_floor_on_the_mixture_of_25(size):
    """Sliced Wasserstein of 500 draws over that between exact samples of 500, one problem a size: the release gate."""
    bench = mcg_mixture(*size, seed=3)
    drawn = reconstruct(bench.prior, bench.measurement, n=500, seed=0).draws

    def distance(a, b):
        return sliced_wasserstein(a, b, directions=100, generator=torch.Generator().manual_seed(0))

    generator = torch.Generator().manual_seed(0)
    least = floor(distance, bench.posterior.rsample, 500, repeats=10, generator=generator)
    found = sum(distance(drawn, bench.posterior.rsample(500, generator)).item() for _ in range(10)) / 10
    assert found < 2 * least.mean


def test_how_many_particles_the_network_takes_at_a_time_changes_nothing():
    from scorefield.schedule import Karras
    from scorefield.walk import sample

    like = torch.empty(0, dtype=torch.float64)
    grid = Karras(0.01, 40.0).grid(20)
    one, other = (
        sample(M.prior, Particles(M.measurement, at_once=k), grid, n=50, seed=0, like=like, shape=(2,)).draws
        for k in (None, 7)
    )
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_any_unit():
    """Data, noise and prior in other units give the same draws in those units."""
    prior = Gaussian(normal(2), torch.tensor([[1.0, 0.3], [0.3, 0.5]]).double())
    scaled = Gaussian(50 * prior.mean, 2500 * prior.covariance)
    a = Matrix(torch.tensor([[1.0, 0.5]]).double())
    one = reconstruct(prior, Measurement(torch.ones(1).double(), a, White(0.3)), n=4, seed=0)
    other = reconstruct(scaled, Measurement(50 * torch.ones(1).double(), a, White(15.0)), n=4, seed=0)
    torch.testing.assert_close(other.draws / 50, one.draws, rtol=1e-6, atol=1e-6)
