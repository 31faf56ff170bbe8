"""One frame: checked once, carried by images, scans and views, and cut and turned as the pixels are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scorefield.data import Frame, Image, read
from scorefield.data.image import check_pixels
from scorefield.errors import InputError
from scorefield.reports import View


def test_an_image_is_the_same_from_a_frame_as_from_its_parts(oblique):
    pixels = torch.zeros(1, 4, 5)
    parts = Image(pixels, affine=oblique, unit="HU", source="here")
    whole = Image(pixels, frame=Frame(affine=oblique, unit="HU", source="here"))
    for image in (parts, whole):
        assert (image.spacing, image.unit, image.source) == (pytest.approx((1.5, 0.75)), "HU", "here")
        assert np.array_equal(image.affine, oblique)


def test_what_is_given_beside_a_frame_replaces_its_own(oblique):
    image = Image(torch.zeros(1, 4, 5), affine=oblique, unit="HU")
    moved = replace(image, affine=None, unit="1/mm")
    assert (moved.affine, moved.unit, moved.spacing) == (None, "1/mm", image.spacing)
    assert replace(image, pixels=torch.ones(1, 4, 5)).frame is image.frame
    with pytest.raises(InputError, match="drop one"):
        replace(image, spacing=(1.0, 1.0))


def test_an_image_and_its_view_share_one_frame(oblique):
    image = Image(torch.zeros(1, 4, 5, 6), affine=oblique)
    assert View.of(image).frame is image.frame


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_frame_takes_the_spacing_from_its_affine(oblique, ndim):
    frame = Frame(affine=oblique).for_axes(ndim)
    assert frame.spacing == pytest.approx((1.5, 0.75, 4.0)[:ndim])
    assert frame.for_axes(ndim) is frame
    with pytest.raises(InputError, match=f"each of {ndim + 1} axes"):
        frame.for_axes(ndim + 1)


def test_one_dicom_slice_is_checked_once(monkeypatch):
    from pydicom.data import get_testdata_file

    checks = []
    monkeypatch.setattr(
        "scorefield.data.image.check_pixels", lambda *given: (checks.append(given), check_pixels(*given))[1]
    )
    image = read(str(get_testdata_file("CT_small.dcm", download=False)))
    assert isinstance(image, Image)
    image.with_unit("HU").attenuation()
    assert len(checks) == 1
