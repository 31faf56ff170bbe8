"""Non-local means, wavelet shrinkage, BM3D and their tuning: limits, averaging, invariances, the oracle."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield.baselines import bm3d, non_local_means, tune, wavelet_shrinkage
from scorefield.data.phantoms import Disks
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import psnr
from scorefield.noise import White
from scorefield.operators import Identity, Mask
from support import complex_normal, normal

METHODS = [bm3d, non_local_means, wavelet_shrinkage]
EVERY = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)


def given(y: Tensor, std: float = 0.1) -> Measurement:
    return Measurement(y.unsqueeze(0), Identity(tuple(y.shape)), White(std))


@EVERY
@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 15, 18), (1, 8, 9, 10)])
def test_constants_stay_and_shapes_too(method, shape):
    constant = torch.full(shape, 0.7, dtype=torch.float64)
    torch.testing.assert_close(method(given(constant)), constant, rtol=1e-6, atol=0)


@EVERY
def test_without_strength_the_image_comes_back(method):
    y = normal(1, 16, 16)
    torch.testing.assert_close(method(given(y, 1e-3), 1e-3), y, rtol=0, atol=1e-6)


@EVERY
def test_units_and_turns_pass_through(method):
    y = Disks(32).draw(1, torch.Generator().manual_seed(0))[0].double() + 0.1 * normal(1, 32, 32)
    found = method(given(y))
    torch.testing.assert_close(method(given(50 * y, 5.0)) / 50, found, rtol=0, atol=1e-6)
    torch.testing.assert_close(method(given(y.mT.contiguous())).mT, found, rtol=0, atol=1e-6)


@EVERY
def test_complex_images_keep_their_parts_and_their_precision(method):
    y = complex_normal(1, 16, 16)
    assert method(given(y)).dtype == torch.complex128
    real = y.real.to(torch.complex128)
    torch.testing.assert_close(method(given(real)).imag, torch.zeros(1, 16, 16, dtype=torch.float64))
    assert method(given(y.real.float())).dtype == torch.float32


def test_a_repeated_pattern_is_averaged_over_its_copies():
    """A pattern of period 7 is nine times in a window of 21 pixels: the variance of small noise falls nine times.

    The border, where the mirrored image does not repeat, is left out; 30^2 correlated errors leave a few per cent.
    """
    clean = normal(1, 7, 7).repeat(1, 8, 8)
    std = 1e-3
    y = clean + std * normal(1, 56, 56, seed=1)
    found = non_local_means(given(y, std), 20.0)[..., 14:-14, 14:-14]
    ratio = (found - clean[..., 14:-14, 14:-14]).square().mean().item() / std**2
    assert ratio == pytest.approx(1 / 9, rel=0.15)


def test_pure_noise_is_taken_away():
    """All but the mean of blocks of 2^4 pixels a side: .04 of the standard deviation, and the bands that chance
    raises above the noise."""
    found = wavelet_shrinkage(given(normal(1, 256, 256), 1.0))
    assert found.std().item() < 0.15


@EVERY
def test_a_disk_with_much_noise_gains_ten_decibels(method):
    truth = Disks(64).draw(1, torch.Generator().manual_seed(5))[0].double()
    y = truth + 0.1 * normal(1, 64, 64)
    best = tune(partial(method, given(y)), truth)
    assert best.interior
    assert best.psnr == psnr(best.image, truth, peak=1.0)
    torch.testing.assert_close(best.image, method(given(y), best.parameter))
    for factor in (0.8, 1.25):
        assert psnr(method(given(y), factor * best.parameter), truth, peak=1.0) <= best.psnr
    gain = best.psnr - psnr(y, truth, peak=1.0)
    assert gain > {"bm3d": 10, "non_local_means": 13, "wavelet_shrinkage": 8}[method.__name__]


def test_the_tuner_finds_the_maximum_and_says_when_it_is_at_the_edge():
    truth = torch.ones(1, 2, 2, dtype=torch.float64)

    def reconstruct(strength: float) -> Tensor:
        return truth * (1 + 0.01 + abs(math.log(strength / 0.37)))

    best = tune(reconstruct, truth)
    assert best.parameter == pytest.approx(0.37, rel=0.05)
    assert best.interior
    assert best.peak == 1.0
    edge = tune(reconstruct, truth, [1.0, 2.0, 4.0])
    assert edge.parameter == pytest.approx(1.0)
    assert not edge.interior
    for grid in ([1.0, 2.0], [1.0, 3.0, 2.0], [0.0, 1.0, 2.0]):
        with pytest.raises(InputError, match="grid"):
            tune(reconstruct, truth, grid)


@EVERY
def test_what_is_refused(method):
    y = normal(1, 8, 8)
    masked = Measurement(y.unsqueeze(0), Mask(torch.ones(1, 8, 8, dtype=torch.float64), (1, 8, 8)), White(0.1))
    with pytest.raises(InputError, match="white noise"):
        method(masked)
    for strength in (0.0, -1.0, math.inf):
        with pytest.raises(InputError, match="strength"):
            method(given(y), strength)
    with pytest.raises(InputError, match="channel axis"):
        method(given(y.flatten()))


def test_sizes_that_are_refused():
    y = normal(1, 8, 8)
    with pytest.raises(InputError, match="odd"):
        non_local_means(given(y), patch=4)
    with pytest.raises(InputError, match="reach"):
        non_local_means(given(y), reach=0)
    with pytest.raises(InputError, match="levels"):
        wavelet_shrinkage(given(y), levels=0)


@pytest.mark.parametrize("shape", [(64, 32), (16, 32, 16)])
@pytest.mark.parametrize("levels", [1, 3])
def test_the_wavelet_transform_is_that_of_pywavelets(shape, levels):
    """Its stationary Haar transform, shrunk band by band, of the image without a jump at its border."""
    pywt = pytest.importorskip("pywt")
    y, std = 3 * torch.rand(1, *shape, dtype=torch.float64) + normal(1, *shape), 0.7
    whole = np.pad(y[0].numpy(), [(0, n) for n in shape], mode="symmetric")
    smooth, *details = pywt.swtn(whole, "haar", levels, norm=True, trim_approx=True)
    shrunk = [
        {name: soft(band, std * 2 ** (-len(shape) * (level + 1) / 2)) for name, band in bands.items()}
        for level, bands in zip(reversed(range(levels)), details, strict=True)
    ]
    wanted = pywt.iswtn([smooth, *shrunk], "haar", norm=True)[tuple(map(slice, shape))]
    found = wavelet_shrinkage(given(y, std), levels=levels)
    torch.testing.assert_close(found[0], torch.as_tensor(wanted), rtol=1e-10, atol=1e-12)


def soft(band: np.ndarray, noise: float) -> np.ndarray:
    """The soft threshold of BayesShrink."""
    signal = math.sqrt(max(float(np.mean(band**2)) - noise**2, 0))
    return np.sign(band) * np.maximum(np.abs(band) - noise**2 / signal, 0) if signal else 0 * band
