"""Simulated scans: the geometry the protocol states, noise of the stated level, and the same scan for the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scorefield.data.image import Image
from scorefield.errors import InputError
from scorefield.scans import Cartesian, ParallelBeam
from scorefield.scans.protocols import CartesianMRI, ParallelCT, simulate
from scorefield.scans.scan import Scan
from scorefield.units import WATER


def image(unit: str = "a.u.", spacing=(1.0, 1.0), dtype=torch.float32, shape=(1, 32, 32)) -> Image:
    axis = [torch.linspace(-1, 1, n) for n in shape[1:]]
    pixels = (axis[0][:, None] ** 2 + axis[1] ** 2 < 0.7).float().expand(shape)
    pixels = 1000 * (pixels - 1) + 40 * pixels if unit == "HU" else pixels
    return Image(pixels.clone().to(dtype), spacing, affine=np.diag([*spacing, 5.0, 1.0]), unit=unit)


PROTOCOLS = [ParallelCT(views=24, photons=1e4), CartesianMRI(acceleration=2, coils=3, noise=0.05)]
every = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: type(p).__name__)


def physical(protocol) -> Image:
    return image("HU", (4.0, 4.0)) if isinstance(protocol, ParallelCT) else image()


@every
def test_the_noise_has_the_level_the_scan_states(protocol):
    x = physical(protocol)
    scan = simulate(x, protocol)
    clean = scan.operator()(protocol.prepare(x).pixels[None])[0]
    noise = scan.data - clean
    parts = torch.view_as_real(noise) if noise.is_complex() else noise
    assert parts.std().item() == pytest.approx(scan.noise.std, rel=4 / math.sqrt(2 * parts.numel()))
    assert abs(parts.mean().item()) < 4 * scan.noise.std / math.sqrt(parts.numel())
    assert scan.measurement().noise is scan.noise


@every
def test_the_seed_is_the_scan(protocol, tmp_path):
    x = physical(protocol)
    one, same, other = (simulate(x, protocol, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.data, same.data)
    assert not torch.equal(one.data, other.data)
    again = Scan.load(one.save(tmp_path / "a.scan"))
    assert torch.equal(again.data, one.data)
    state = torch.get_rng_state()
    simulate(x, protocol)
    assert torch.equal(torch.get_rng_state(), state)


@every
def test_where_the_image_lies_travels_with_the_scan(protocol):
    x = physical(protocol)
    scan = simulate(x, protocol)
    assert scan.spacing == x.spacing
    assert np.array_equal(scan.affine, x.affine)
    assert scan.shape == (1, 32, 32)
    assert scan.unit == ("1/mm" if x.unit == "HU" else x.unit)


def test_hounsfield_units_become_attenuation():
    pixels = torch.tensor([[[-1000.0, 0.0, 1000.0, -1024.0]]])
    found = Image(pixels, (1.0, 1.0), unit="HU").attenuation()
    assert found.pixels.flatten().tolist() == pytest.approx([0, WATER, 2 * WATER, 0])
    assert found.unit == "1/mm"
    other = Image(pixels, (1.0, 1.0), unit="1/mm")
    assert other.attenuation() is other


def test_a_line_integral_through_water():
    """The central ray of a disk of water: its diameter times the attenuation."""
    scan = simulate(image("HU", (4.0, 4.0)), ParallelCT(views=4, photons=1e12))
    diameter = 2 * math.sqrt(0.7) * 31 / 2 * 4.0
    middle = scan.data[0, :, scan.data.shape[-1] // 2]
    assert middle.tolist() == pytest.approx([1.04 * WATER * diameter] * 4, rel=0.05)


def test_ct_noise_is_that_of_counting_photons():
    """1 / sqrt(counts), counts = photons exp(-mean line integral)."""
    x = image("HU", (4.0, 4.0))
    few, many = (simulate(x, ParallelCT(views=6, photons=n)) for n in (1e4, 1e6))
    assert few.noise.std == pytest.approx(10 * many.noise.std)
    line = many.operator()(x.attenuation().pixels[None]).mean().item()
    assert few.noise.std == pytest.approx(1 / math.sqrt(1e4 * math.exp(-line)), rel=1e-5)


def test_ct_geometry():
    scan = simulate(image("HU", (2.0, 2.0)), ParallelCT(views=10))
    assert isinstance(scan, ParallelBeam)
    assert scan.angles.tolist() == pytest.approx([k * math.pi / 10 for k in range(10)])
    assert scan.detector_spacing == scan.pixel_spacing == 2.0
    assert scan.detectors >= 32 * math.sqrt(2)  # no ray misses the image's corners
    assert scan.data.shape == (1, 10, scan.detectors)


def test_mri_sampling_and_scale():
    scan = simulate(image(), CartesianMRI(acceleration=4, coils=5, noise=0.02, center=0.1))
    assert isinstance(scan, Cartesian)
    mask = scan.mask
    assert mask.sum().item() / mask.numel() == 0.25
    assert scan.data.shape == (5, mask.sum().item())
    assert scan.noise.std == pytest.approx(0.02)  # two per cent of an image of ones
    louder = simulate(Image(10 * image().pixels, (1.0, 1.0)), CartesianMRI(noise=0.02))
    assert louder.noise.std == pytest.approx(0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_mri_of_real_and_of_complex_images(dtype):
    scan = simulate(image(dtype=dtype), CartesianMRI(coils=2))
    assert scan.real == (dtype == torch.float32)
    assert scan.operator().H(scan.data[None]).dtype == dtype


def test_images_of_unknown_spacing_have_pixels_of_1_mm():
    scan = simulate(Image(image().pixels * WATER, unit="1/mm"), ParallelCT(views=3))
    assert scan.pixel_spacing == 1.0
    assert scan.spacing is None


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: simulate(image(spacing=(1.0, 2.0)), ParallelCT()), "square pixels"),
        (lambda: simulate(image(shape=(2, 8, 8)), CartesianMRI()), "one 2-D image"),
        (lambda: simulate(Image(torch.zeros(1, 4, 4, 4)), CartesianMRI()), "one 2-D image"),
        (lambda: ParallelCT(views=0), "views >= 1"),
        (lambda: ParallelCT(photons=0), "photons > 0"),
        (lambda: CartesianMRI(noise=0), "noise > 0"),
        (lambda: simulate(image(), CartesianMRI(acceleration=0.5)), "acceleration"),
        (lambda: simulate(image(), CartesianMRI(coils=0)), "coil"),
        (lambda: simulate(Image(torch.zeros(1, 8, 8)), CartesianMRI()), "zero everywhere"),
        (lambda: simulate(Image(200 * torch.ones(1, 8, 8)), ParallelCT()), "--unit HU"),
        (lambda: simulate(Image(-900 * torch.ones(1, 8, 8)), ParallelCT()), "--unit HU"),
        (lambda: simulate(image("HU", dtype=torch.complex64), ParallelCT()), "is complex"),
    ],
)
def test_what_cannot_be_measured_is_refused(make, match):
    with pytest.raises(InputError, match=match):
        make()


def test_a_unit_is_told_once():
    """Files without a unit can be given one; those with their own keep it."""
    pixels = torch.full((1, 8, 8), 40.0)
    told = simulate(Image(pixels).with_unit("HU"), ParallelCT())
    assert told.unit == "1/mm"
    assert torch.equal(told.data, simulate(Image(pixels, unit="HU"), ParallelCT()).data)
    own = Image(pixels, unit="counts")
    assert own.with_unit("HU") is own
    assert own.with_unit(None) is own
