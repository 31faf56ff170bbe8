"""Truths in the unit and along the axes of a run; questions where a file leaves them open."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalSubscript=false

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from scorefield.data import Frame, Image, Images, Normalized, ct_slice, mr_slice, read, write
from scorefield.data.plausible import check_cut, check_hounsfield, check_image_domain
from scorefield.errors import InputError
from scorefield.scans.protocols import CartesianMRI, ParallelCT, simulate
from scorefield.units import WATER


def randn(*shape, seed=0, **options):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **options)


# --- units


def test_units_of_ct_are_converted_into_each_other():
    hounsfield = Image(torch.tensor([[[-1000.0, 0.0, 40.0, 1000.0]]]), unit="HU")
    attenuation = hounsfield.in_unit("1/mm")
    assert attenuation.unit == "1/mm"
    assert attenuation.pixels[0, 0].tolist() == pytest.approx([0, WATER, 1.04 * WATER, 2 * WATER])
    again = attenuation.in_unit("HU")
    assert again.unit == "HU"
    assert torch.allclose(again.pixels, hounsfield.pixels, atol=1e-3)
    assert hounsfield.in_unit("1/mm", water=0.02).pixels[0, 0, 1] == pytest.approx(0.02)
    assert hounsfield.in_unit("HU") is hounsfield


def test_air_and_below_is_zero_as_in_a_simulated_scan():
    image = Image(torch.full((1, 2, 2), -3024.0), unit="HU")
    assert (image.in_unit("1/mm").pixels == 0).all()
    assert torch.equal(image.in_unit("1/mm").pixels, image.attenuation().pixels)


@pytest.mark.parametrize(("unit", "other"), [("HU", "a.u."), ("BQML", "1/mm"), ("1/mm", "BQML")])
def test_other_units_are_refused(unit, other):
    with pytest.raises(InputError, match=f"is in {unit} and {other} is needed"):
        Image(torch.ones(1, 2, 2), unit=unit).in_unit(other)


def test_a_file_without_a_unit_is_in_the_one_needed_if_it_can_be():
    plain = Image(WATER * torch.ones(1, 4, 4))
    assert plain.in_unit("1/mm").unit == "1/mm"
    for values in (40.0, -1000.0):
        with pytest.raises(InputError, match="no attenuation in 1/mm"):
            Image(torch.full((1, 4, 4), values)).in_unit("1/mm")


# --- axes


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_order_and_flip_of_the_axes_is_undone(oblique, ndim):
    sizes = (4, 5, 6)[:ndim]
    image = Image(randn(1, *sizes), affine=oblique, unit="HU")
    for order in itertools.permutations(range(ndim)):
        for flips in itertools.chain.from_iterable(itertools.combinations(range(ndim), k) for k in range(ndim + 1)):
            affine = oblique.copy()
            for a in flips:
                affine[:, 3] += (sizes[a] - 1) * affine[:, a]
                affine[:, a] *= -1
            affine = affine[:, [*order, *range(ndim, 4)]]
            pixels = image.pixels.flip([a + 1 for a in flips]).permute(0, *[a + 1 for a in order])
            turned = Image(pixels.contiguous(), affine=affine.astype(np.float32), unit="HU")
            back = turned.to_frame(image.frame)
            assert torch.equal(back.pixels, image.pixels)
            assert np.array_equal(back.affine, image.affine)
            assert torch.equal(image.to_frame(turned.frame).pixels, turned.pixels)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(
    "change",
    [
        lambda affine: affine + np.outer([1.5, 0, 0, 0], [0, 0, 0, 1]),  # another place
        lambda affine: affine @ np.diag([2.0, 2, 1, 1]),  # larger pixels
        lambda affine: affine + 4 * np.outer([*np.cross(affine[:3, 0], affine[:3, 1]), 0], [0, 0, 0, 1]),  # next slice
        lambda affine: affine @ np.array([[1, -1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) / [1.4, 1.4, 1, 1],
    ],
)
def test_pixels_elsewhere_are_refused(oblique, ndim, change):
    image = Image(randn(1, *(24, 25, 26)[:ndim]), affine=oblique)
    with pytest.raises(InputError, match="resample it"):
        image.to_frame(Frame(affine=change(oblique)))


def test_without_an_affine_the_axes_stay():
    image = Image(randn(1, 4, 5))
    assert torch.equal(image.to_frame(Frame(affine=np.eye(4))).pixels, image.pixels)
    assert torch.equal(Image(image.pixels, affine=np.eye(4)).to_frame(Frame()).pixels, image.pixels)


def test_a_truth_in_hounsfield_stored_the_other_way_is_that_of_the_scan(tmp_path):
    truth = ct_slice()
    scan = simulate(truth, ParallelCT(views=3))
    turned = truth.upright() if truth.frame.hanging(2)[1] else Image.of(*flipped(truth))
    stored = read(write(turned, tmp_path / "hu.nii.gz"))
    assert stored.unit == "HU"
    assert torch.allclose(stored.to_frame(scan.frame).pixels, truth.attenuation().pixels, atol=1e-7)


def flipped(image):
    affine = image.affine.copy()
    affine[:, 3] += (image.spatial[0] - 1) * affine[:, 0]
    affine[:, 0] *= -1
    return image.pixels.flip(1), Frame(affine=affine, unit=image.unit).for_axes(2)


# --- questions


@pytest.mark.parametrize("axis", [None, 2])
def test_training_asks_for_the_unit_of_what_looks_like_hounsfield(tmp_path, axis):
    volume = 100 * randn(1, 20, 20, 4)
    volume[:, :5] = -1000
    path = write(volume, tmp_path / "ct.nii.gz")
    with pytest.raises(InputError, match="--unit HU"):
        Normalized(Images(path, axis=axis))[0]
    assert float(Normalized(Images(path, axis=axis, unit="HU"))[0].min()) >= 0
    assert Normalized(Images(path, axis=axis, unit="mV"))[0].isfinite().all()  # whoever names a unit is believed


@pytest.mark.parametrize("values", [randn(1, 9, 9), 2000 * randn(1, 9, 9).abs(), 2000 * randn(1, 9, 9) * (1 + 1j)])
def test_other_values_are_not_asked_about(values):
    check_hounsfield(Image(values))


def test_mri_of_ct_is_refused():
    with pytest.raises(InputError, match="CT in HU"):
        simulate(ct_slice(), CartesianMRI())
    image = Image(ct_slice().pixels.clamp(min=-1024))
    with pytest.raises(InputError, match="--unit HU"):
        simulate(image, CartesianMRI())


@pytest.mark.parametrize(
    ("shape", "axis", "message"),
    [
        ((5, 96, 128), 2, "5 x 96 pixels; say --axis 0"),
        ((4, 256, 256), 2, "say --axis 0"),
        ((96, 5, 128), 2, "say --axis 1"),
        ((64, 64, 3), 2, "color picture"),
        ((64, 64, 4), 2, "color picture"),
    ],
)
def test_slices_that_are_no_images_are_asked_about(tmp_path, shape, axis, message):
    path = write(torch.rand(1, *shape), tmp_path / "a.npy")
    with pytest.raises(InputError, match=message):
        check_cut(shape, axis, str(path))
    with pytest.raises(InputError, match=message):
        Images(path, axis=axis).check_cut()


@pytest.mark.parametrize(("shape", "axis"), [((96, 128, 5), 2), ((5, 96, 128), 0), ((40, 90, 50), 2), ((64, 64), 2)])
def test_slices_that_are_images_are_not(shape, axis):
    check_cut(shape, axis, "a.npy")
    check_cut((64, 64, 3), 2, "a.nii")  # a file with geometry says that it is a volume


@pytest.mark.parametrize("shift", [True, False])
def test_complex_k_space_is_no_image(shift):
    image = mr_slice().pixels[0] * torch.exp(1j * torch.linspace(0, 1, 128))
    space = torch.fft.fft2(image)
    space = torch.fft.fftshift(space) if shift else space
    with pytest.raises(InputError, match="looks like k-space"):
        simulate(Image(space[None].to(torch.complex64)), CartesianMRI())
    check_image_domain(Image(image[None].to(torch.complex64)))


@pytest.mark.parametrize("size", [5, 9, 60])
def test_a_small_complex_object_is_an_image(size):
    pixels = torch.zeros(1, 64, 64, dtype=torch.complex64)
    first = 32 - size // 2
    pixels[:, first : first + size, first : first + size] = 1j + randn(size, size) / 10
    check_image_domain(Image(pixels))


@pytest.mark.parametrize("width", [1.5, 2, 3])
def test_a_spot_in_the_middle_is_an_image(width):
    """Its energy lies in few pixels, as in k-space, but so does that of its transform."""
    place = torch.arange(64) - 32
    spot = torch.exp(-(place[:, None] ** 2 + place**2) / (2 * width**2))
    check_image_domain(Image((spot * 1j)[None].to(torch.complex64)))


def test_a_spot_elsewhere_is_an_image():
    pixels = torch.zeros(1, 64, 64, dtype=torch.complex64)
    pixels[0, 10, 20] = 1j
    check_image_domain(Image(pixels))
