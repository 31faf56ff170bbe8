"""Plug and play: its fixed point in closed form for Gaussian priors, any operator, and gains over linear methods."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from scorefield import operators
from scorefield.baselines import (
    BM3D,
    as_denoiser,
    filtered_back_projection,
    non_local_means,
    plug_and_play,
    tune,
    tuned_plug_and_play,
    wavelet_shrinkage,
    zero_filled,
)
from scorefield.baselines.plug_and_play import LEVELS
from scorefield.data.phantoms import Disks
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import psnr
from scorefield.noise import Noise, Weighted, White
from scorefield.operators import Identity, Operator, RealToComplex
from scorefield.priors import Gaussian
from support import complex_normal, normal

SHAPE = (1, 4, 4)
SMALL = BM3D(window=15, groups=(8, 16))
HELD = (1.0,) * 100


def seen(operator: Operator, x: Tensor, noise: Noise, seed: int = 3) -> Measurement:
    y = operator(x[None])
    return Measurement(y + noise.sample(y, torch.Generator().manual_seed(seed)), operator, noise)


def gaussian() -> tuple[Tensor, Tensor]:
    """Mean (16,) and covariance of a law of images."""
    root = normal(16, 16, seed=1) / 4
    return normal(16, seed=2), root @ root.T + 0.2 * torch.eye(16)


def dense(operator: Operator) -> Tensor:
    """The operator as a matrix on the components of an image, real and imaginary parts of data one after the other."""
    columns = operator(torch.eye(16, dtype=torch.float64).reshape(16, *SHAPE))
    return (torch.view_as_real(columns) if columns.is_complex() else columns).flatten(1).T


OPERATORS = {
    "image": Identity(SHAPE),
    "missing pixels": operators.Sample(normal(*SHAPE, seed=4) > 0, SHAPE),
    "coils": operators.mri(torch.tensor([[True], [False], [True], [True]]).expand(4, 4), complex_normal(3, 4, 4))
    @ RealToComplex(SHAPE),
    "tomography": operators.parallel_beam(SHAPE, torch.tensor([0.1, 0.9, 2.0]), 7),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_with_a_gaussian_denoiser_the_fixed_point_is_the_posterior_mean_at_any_level(name, sigma):
    operator, (mean, covariance) = OPERATORS[name], gaussian()
    noise = 0.5
    measurement = seen(operator, mean.reshape(SHAPE), White(noise))
    prior = Gaussian(mean.reshape(SHAPE), covariance)
    found = plug_and_play(measurement, prior.denoise, sigma, levels=(5.0, 2.0, *HELD))
    a, y = dense(operator), measurement.y
    y = (torch.view_as_real(y) if y.is_complex() else y).flatten()
    precision = torch.linalg.inv(covariance)
    wanted = torch.linalg.solve(a.T @ a / noise**2 + precision, a.T @ y / noise**2 + precision @ mean)
    torch.testing.assert_close(found.flatten(), wanted, rtol=1e-5, atol=1e-5)


def test_the_multiplier_survives_a_change_of_level():
    """After many steps the iteration stays where it is, whatever the levels that follow."""
    mean, covariance = gaussian()
    measurement = seen(OPERATORS["tomography"], mean.reshape(SHAPE), Weighted(normal(3, 7).abs() + 0.3))
    prior = Gaussian(mean.reshape(SHAPE), covariance)
    still = plug_and_play(measurement, prior.denoise, 0.5, levels=HELD)
    for level in (0.3, 4.0):
        after = plug_and_play(measurement, prior.denoise, 0.5, levels=(*HELD, level))
        torch.testing.assert_close(after, still, rtol=1e-5, atol=1e-5)


def test_of_a_noisy_image_it_is_the_denoiser_itself():
    """x = z = D(y, s) and u = y - x stay when s is the noise: after one step from z = y already."""
    y = Disks(32).draw(1, torch.Generator().manual_seed(0))[0].double() + 0.1 * normal(1, 32, 32)
    measurement = Measurement(y, Identity((1, 32, 32)), White(0.1))
    for denoise in (SMALL, as_denoiser(partial(wavelet_shrinkage, levels=3))):
        wanted = denoise(y[None], 0.1)[0]
        torch.testing.assert_close(plug_and_play(measurement, denoise, 0.1, levels=(1.0, 1.0, 1.0)), wanted)


@pytest.mark.parametrize("method", [non_local_means, wavelet_shrinkage])
def test_methods_for_measurements_become_denoisers_of_batches(method):
    x = normal(2, 1, 16, 16)
    found = as_denoiser(method)(x, 0.3)
    for image, one in zip(x, found, strict=True):
        torch.testing.assert_close(one, method(Measurement(image, Identity((1, 16, 16)), White(0.3))))


def test_units_pass_through():
    """Images c times as large, seen by the same scanner with c times the noise: c times the image."""
    truth = Disks(32).draw(1, torch.Generator().manual_seed(0))[0].double()
    scanner = operators.parallel_beam((1, 32, 32), torch.arange(12) * math.pi / 12, 48)
    data = scanner(truth[None]) + 0.3 * normal(1, 12, 48)
    found = plug_and_play(Measurement(data, scanner, White(0.3)), SMALL, 0.1, levels=(4.0, 2.0, 1.0))
    large = plug_and_play(Measurement(50 * data, scanner, White(15.0)), SMALL, 5.0, levels=(4.0, 2.0, 1.0))
    torch.testing.assert_close(large / 50, found, rtol=1e-5, atol=1e-5)


def wavelets(x: Tensor, sigma: float) -> Tensor:
    return as_denoiser(partial(wavelet_shrinkage, levels=3))(x, sigma)


def scans() -> dict[str, tuple[Measurement, Tensor, Tensor]]:
    """A scan, its truth, and a linear reconstruction."""
    truth = Disks(32).draw(1, torch.Generator().manual_seed(5))[0].double()
    projector = operators.parallel_beam((1, 32, 32), torch.arange(20) * math.pi / 20, 48)
    ct = seen(projector, truth, White(0.5))
    lines = (torch.arange(32) % 3 == 0) | ((torch.arange(32) - 16).abs() < 3)
    coils = operators.mri(lines[None, :, None].expand(1, 32, 32), operators.birdcage(4, (1, 32, 32)))
    turned = truth * torch.exp(1j * torch.linspace(0, 2, 32, dtype=torch.float64))
    phased = seen(coils, turned, White(0.1))
    real = seen(coils @ RealToComplex((1, 32, 32)), truth, White(0.1))
    return {
        "tomography": (ct, truth, filtered_back_projection(ct)),
        "complex image": (phased, turned, zero_filled(phased)),
        "real image": (real, truth, zero_filled(real)),
    }


@pytest.mark.parametrize("name", ["tomography", "complex image", "real image"])
@pytest.mark.parametrize("denoise", [SMALL, wavelets], ids=["bm3d", "wavelets"])
def test_it_halves_the_error_of_linear_reconstruction_at_the_level_an_oracle_chooses(name, denoise):
    measurement, truth, linear = scans()[name]
    best = tuned_plug_and_play(measurement, truth, denoise, levels=LEVELS[::2])
    assert best.interior
    assert best.image.dtype == truth.dtype
    again = plug_and_play(measurement, denoise, best.parameter, levels=LEVELS[::2])
    torch.testing.assert_close(again, best.image)
    assert best.psnr == psnr(best.image, truth, peak=best.peak)
    assert best.psnr > psnr(linear, truth, peak=best.peak) + 10 * math.log10(2)
    for factor in (0.7, 1.4):
        other = plug_and_play(measurement, denoise, factor * best.parameter, levels=LEVELS[::2])
        assert psnr(other, truth, peak=best.peak) < best.psnr


def test_the_tuner_extends_its_grid_on_either_side():
    truth = torch.ones(1, 2, 2, dtype=torch.float64)
    for wanted in (0.04, 35.0):

        def reconstruct(value: float, wanted: float = wanted) -> Tensor:
            return truth * (1.01 + abs(math.log(value / wanted)))

        best = tune(reconstruct, truth, (0.5, 1.0, 2.0), extensions=6)
        assert best.interior
        assert best.parameter == pytest.approx(wanted, rel=0.05)
        assert not tune(reconstruct, truth, (0.5, 1.0, 2.0), extensions=2).interior


def test_what_is_refused():
    measurement = seen(Identity(SHAPE), torch.zeros(SHAPE, dtype=torch.float64), White(1.0))
    with pytest.raises(InputError, match="at least one level"):
        plug_and_play(measurement, wavelets, 1.0, levels=())
    for sigma, levels in ((0.0, (1.0,)), (1.0, (1.0, -1.0)), (math.inf, (1.0,))):
        with pytest.raises(InputError, match="level of plug and play"):
            plug_and_play(measurement, wavelets, sigma, levels=levels)
    with pytest.raises(InputError, match="truth has shape"):
        tuned_plug_and_play(measurement, torch.zeros(1, 3, 3), wavelets)
