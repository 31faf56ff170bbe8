from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom.data
import pytest
import skimage.data

from scorefield.data import ct_slice, mr_slice, sample_scans, skimage_images
from scorefield.errors import InputError


def test_the_ct_slice_is_in_hounsfield_units():
    image = ct_slice()
    raw = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm", download=False))
    assert np.array_equal(image.pixels[0], raw.pixel_array.astype(float) - 1024)
    assert (image.unit, image.spacing) == ("HU", pytest.approx((0.661468, 0.661468)))
    lung, bone = (image.pixels < -700).float().mean(), (image.pixels > 300).float().mean()
    assert lung > 0.05
    assert bone > 0.01
    turned = image.upright()
    assert np.array_equal(turned.pixels, image.pixels)  # a transverse DICOM slice hangs upright already


def test_the_mr_slice_is_an_upright_head():
    image = mr_slice()
    file = Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz"
    stored = nibabel.load(file).dataobj[:, :, 16, 0]
    assert np.array_equal(image.pixels[0], stored.T[::-1])  # stored axes run to the left and to the front
    assert image.spacing == pytest.approx((2.0, 2.0))
    rows, columns = np.nonzero(image.pixels[0].numpy() > 100)
    assert np.ptp(rows) > 1.2 * np.ptp(columns)  # a head is longer than wide
    assert abs(columns.mean() - 64) < 4


def test_the_photographs_are_those_of_scikit_image():
    images = skimage_images()
    assert len(images) == len(sample_scans.PHOTOGRAPHS)
    by_name = {Path(image.source).name: image for image in images}
    assert np.array_equal(by_name["camera.png"].pixels[0], skimage.data.camera())
    expected = 255 * skimage.color.rgb2gray(skimage.data.astronaut())
    assert np.allclose(by_name["astronaut.png"].pixels[0], expected, atol=1e-3)
    assert "moon.png" not in by_name


def test_missing_samples_are_explained(monkeypatch):
    monkeypatch.setattr(pydicom.data, "get_testdata_file", lambda name, download: None)
    with pytest.raises(InputError, match=r"pydicom lacks CT_small\.dcm; install"):
        ct_slice()
    monkeypatch.setattr(sample_scans, "PHOTOGRAPHS", ("none.png",))
    with pytest.raises(InputError, match="scikit-image lacks"):
        skimage_images()
