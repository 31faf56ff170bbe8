from __future__ import annotations

import numpy as np
import pytest
import torch
from io_pattern import sampled

from scorefield.data import Image
from scorefield.errors import InputError


@pytest.fixture
def volume(oblique):
    return Image(torch.from_numpy(sampled((4, 5, 6), oblique)[None]).float(), affine=oblique, unit="HU")


def agrees(image):
    """Whether every pixel is the pattern at the place the affine says."""
    expected = sampled(image.spatial, image.affine)
    return np.allclose(image.pixels[0], expected, atol=1e-3)


def test_spacing_comes_from_the_affine(volume):
    assert volume.spacing == pytest.approx((1.5, 0.75, 4.0))
    assert agrees(volume)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("index", [0, 3, -1])
def test_a_slice_stays_where_it_was(volume, index, axis):
    cut = volume.slice(index, axis)
    kept = [a for a in range(3) if a != axis % 3]
    assert torch.equal(cut.pixels, volume.pixels.select(axis % 3 + 1, index))
    assert cut.spacing == pytest.approx([volume.spacing[a] for a in kept])
    assert cut.unit == "HU"
    assert agrees(cut)
    step = cut.affine[:3, 2]
    assert np.allclose(step, volume.affine[:3, axis % 3])


def test_a_slice_owns_its_pixels(volume):
    cut = volume.slice(0, 0)
    assert cut.pixels.untyped_storage().nbytes() == cut.pixels.numel() * 4


@pytest.mark.parametrize(("index", "axis"), [(4, 0), (-5, 0), (0, 3), (0, -4)])
def test_slices_outside_are_refused(volume, index, axis):
    with pytest.raises(InputError):
        volume.slice(index, axis)


def test_only_volumes_are_sliced(volume):
    with pytest.raises(InputError, match="give a volume"):
        volume.slice(0, 0).slice(0, 0)


@pytest.mark.parametrize("seed", range(12))
def test_upright_hangs_every_orientation_alike(seed):
    generator = np.random.default_rng(seed)
    rotation = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = rotation * [1.0, 2.0, 3.0]
    volume = Image(torch.from_numpy(sampled((3, 4, 5), affine)[None]).float(), affine=affine)
    for image in (volume, *(volume.slice(1, axis) for axis in range(3))):
        turned = image.upright()
        assert agrees(turned)
        assert np.linalg.norm(turned.affine[:3, : len(turned.spatial)], axis=0) == pytest.approx(turned.spacing)
        assert sorted(turned.pixels.flatten().tolist()) == sorted(image.pixels.flatten().tolist())
        again = turned.upright()
        assert torch.equal(again.pixels, turned.pixels)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_upright_is_superior_anterior_right_first(order, signs):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) * signs)[:, order]
    volume = Image(torch.zeros(1, 3, 4, 5), affine=affine)
    assert np.allclose(volume.upright().affine[:3, :3], [[0, 0, -1], [0, -1, 0], [-1, 0, 0]])
    axial = volume.slice(0, int(np.flatnonzero(np.array(order) == 2)[0])).upright()
    assert np.allclose(axial.affine[:3, :2], [[0, -1], [-1, 0], [0, 0]])  # down is back, right is the left hand


def test_upright_needs_to_know_where_up_is():
    with pytest.raises(InputError, match="which way is up"):
        Image(torch.zeros(1, 2, 2)).upright()


def test_squeeze_makes_thin_volumes_flat(oblique):
    thin = Image(torch.from_numpy(sampled((4, 1, 6), oblique)[None]).float(), affine=oblique)
    flat = thin.squeeze()
    assert flat.spatial == (4, 6)
    assert agrees(flat)
    assert flat.squeeze() is flat


@pytest.mark.parametrize(
    ("pixels", "arguments", "message"),
    [
        (torch.zeros(1, 2, 2, dtype=torch.float64), {}, "dtype"),
        (torch.zeros(2, 2), {}, "shape"),
        (torch.zeros(1, 2, 0), {}, "shape"),
        (torch.tensor([[[0.0, torch.nan]]]), {}, "1 pixels that are NaN"),
        (torch.full((1, 2, 2), complex(0, torch.inf), dtype=torch.complex64), {}, "4 pixels"),
        (torch.zeros(1, 2, 2), {"spacing": (1.0,)}, "2 axes"),
        (torch.zeros(1, 2, 2), {"spacing": (1.0, 0.0)}, "positive"),
        (torch.zeros(1, 2, 2), {"spacing": (1.0, 2.0), "affine": np.eye(4)}, "drop one"),
        (torch.zeros(1, 2, 2), {"affine": np.eye(3)}, "4x4"),
        (torch.zeros(1, 2, 2), {"affine": np.diag([1, 1, 0, 1])}, "singular"),
        (torch.zeros(1, 2, 2), {"affine": np.diag([1, 1, np.nan, 1])}, "finite"),
    ],
)
def test_what_is_no_image_is_refused(pixels, arguments, message):
    with pytest.raises(InputError, match=message):
        Image(pixels, **arguments)
