"""How images are hung in a report."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scorefield.data import Image
from scorefield.data.display import plane
from scorefield.errors import InputError
from scorefield.reports import View


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)], ids=str)
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_picture_is_the_upright_image(axes: tuple[int, ...], signs: tuple[int, ...], ndim: int):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (axis, sign, step) in enumerate(zip(axes, signs, (1.0, 2.0, 4.0), strict=True)):
        affine[axis, column] = sign * step
    image = Image(torch.randn(1, *(5, 6, 7)[:ndim], generator=torch.Generator().manual_seed(0)), affine=affine)
    view, upright = View.of(image), image.upright()
    picture = view.plane(image.pixels)
    np.testing.assert_array_equal(picture, plane(upright.pixels))
    height, width = view.size(picture)
    assert upright.spacing is not None
    high, wide = upright.spacing[-2:]
    rows, columns = picture.shape
    assert height * columns * wide == width * rows * high
    assert height == view.zoom(picture) * rows * high / min(high, wide)


def test_without_geometry_the_order_of_the_array_and_square_pixels():
    image = torch.arange(12.0).reshape(1, 3, 4)
    view = View()
    assert view.plane(image).tolist() == image[0].tolist()
    assert view.size(view.plane(image)) == (85 * 3, 85 * 4)
    assert view.note((1, 3, 4), False) == ""


def test_the_note_names_the_slice_of_the_turned_volume():
    view = View(affine=np.eye(4))
    assert view.note((1, 3, 4, 9), True) == "magnitude, slice 5 of 9, turned as radiologists hang them"


def test_bad_geometry_is_named():
    with pytest.raises(InputError, match="affine"):
        View(affine=np.zeros((4, 4)))
    with pytest.raises(InputError, match="spacing"):
        View(spacing=(1.0, -1.0))
