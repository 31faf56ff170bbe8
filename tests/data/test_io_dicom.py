from __future__ import annotations

import random

import numpy as np
import pydicom
import pytest
from io_pattern import sampled
from pydicom.data import get_testdata_file

from scorefield.data import Images
from scorefield.data.formats import dicom
from scorefield.errors import InputError
from scorefield.scans.files import read

HALF_STEP = 0.125 + 1e-3  # the stored integers step by 0.25


def shipped(name):
    return get_testdata_file(name, download=False)


@pytest.fixture
def series(tmp_path, oblique, write_dicom):
    """Six slices under names in shuffled order."""
    order = list(range(6))
    random.Random(4).shuffle(order)
    assert order != sorted(order)
    for name, k in enumerate(order):
        write_dicom(tmp_path / "series" / f"IM{name:02d}.dcm", oblique, k)
    return tmp_path / "series"


def test_a_slice_is_rescaled_and_placed(tmp_path, oblique, write_dicom):
    image = read(write_dicom(tmp_path / "a.dcm", oblique, 2))
    assert image.spatial == (5, 7) == dicom.header(tmp_path / "a.dcm").spatial
    assert image.unit == "HU"
    assert image.spacing == pytest.approx((1.5, 0.75))
    assert np.allclose(image.affine[:3, :3], oblique[:3, :3], atol=1e-6)
    assert np.allclose(image.pixels[0], sampled((5, 7), image.affine), atol=HALF_STEP)


@pytest.mark.parametrize("pattern", ["", "*.dcm", "*"])
def test_a_series_is_ordered_by_position(series, oblique, pattern):
    volume = read(series / pattern)
    assert volume.spatial == (5, 7, 6)
    assert np.allclose(volume.affine, oblique, atol=1e-6)
    assert np.allclose(volume.pixels[0], sampled((5, 7, 6), oblique), atol=HALF_STEP)
    assert (volume.unit, volume.spacing) == ("HU", pytest.approx((1.5, 0.75, 4.0)))


def test_a_tilted_gantry_is_a_sheared_affine(tmp_path, oblique, write_dicom):
    oblique[:3, 2] += 0.4 * oblique[:3, 0]
    for k in range(4):
        write_dicom(tmp_path / f"{9 - k}.dcm", oblique, k)
    volume = read(tmp_path)
    assert np.allclose(volume.affine, oblique, atol=1e-6)
    assert np.allclose(volume.pixels[0], sampled((5, 7, 4), oblique), atol=HALF_STEP)


def test_files_without_suffix_are_known_by_content(series):
    expected = read(series)
    for file in series.iterdir():
        file.rename(file.with_suffix(""))
    (series / "README").write_text("not an image")
    (series / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    again = read(series)
    assert (again.pixels == expected.pixels).all()
    assert read(series / "IM00").spatial == (5, 7)


def test_series_of_one_and_slices_of_a_series(series, tmp_path, oblique, write_dicom):
    write_dicom(tmp_path / "one" / "a.dcm", oblique, 0)
    assert read(tmp_path / "one").spatial == (5, 7)
    slices = Images([series, tmp_path / "one"], axis=2)
    assert len(slices) == 7
    whole = read(series)
    for k in range(6):
        assert (slices[k].pixels == whole.slice(k, 2).pixels).all()
    assert slices[6].spatial == (5, 7)


def test_each_folder_is_its_own_series(tmp_path, oblique, write_dicom):
    for patient in ("b", "a"):
        for k in range(3):
            write_dicom(tmp_path / patient / f"{k}.dcm", oblique, k, SeriesInstanceUID=f"1.{ord(patient)}")
    for pattern in ("*", "*/*.dcm", "**/*.dcm"):
        volumes = read(tmp_path / pattern)
        assert isinstance(volumes, Images)
        assert [v.spatial for v in volumes] == [(5, 7, 3)] * 2
        assert "a (3 slices)" in volumes[0].source


def test_duplicates_are_named(series, oblique, write_dicom):
    write_dicom(series / "copy.dcm", oblique, 3)
    with pytest.raises(InputError, match=r"(IM0\d\.dcm and .*copy\.dcm|copy\.dcm and .*IM0\d\.dcm) lie at the same"):
        read(series)


def test_a_missing_slice_is_noticed(series, oblique):
    places = {file: read(file).affine[:3, 3] for file in series.iterdir()}
    third = min(places, key=lambda f: float(np.linalg.norm(places[f] - oblique[:3, 3] - 3 * oblique[:3, 2])))
    third.unlink()
    with pytest.raises(InputError, match="step is 8 mm where 4 mm is usual"):
        read(series)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"PixelSpacing": [1.5, 0.8]}, "differs from"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, "differs from"),
        ({"RescaleType": "mgml"}, "differs from"),
        (
            {"SeriesInstanceUID": "9.9", "SeriesDescription": "lung"},
            r"2 series: 'unnamed' \(6 files\), 'lung' \(1 files\)",
        ),
        ({"ImagePositionPatient": None}, "does not say where"),
        ({"ImageOrientationPatient": None}, "does not say where"),
        ({"PixelSpacing": None}, "does not say where"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
    ],
)
def test_slices_that_do_not_belong_are_named(series, oblique, write_dicom, tags, message):
    write_dicom(series / "zodd.dcm", oblique, 6, **tags)
    with pytest.raises(InputError, match=message) as caught:
        read(series)
    assert "zodd.dcm" in str(caught.value) or "series:" in str(caught.value)


def test_two_slices_are_compared_too(tmp_path, oblique, write_dicom):
    write_dicom(tmp_path / "a.dcm", oblique, 0)
    write_dicom(tmp_path / "b.dcm", oblique, 1, RescaleType="mgml")
    with pytest.raises(InputError, match=r"b\.dcm differs from"):
        read(tmp_path)


def test_slices_of_another_size_are_named(series, oblique, write_dicom):
    write_dicom(series / "zodd.dcm", oblique, 6, size=(5, 8))
    with pytest.raises(InputError, match=r"zodd\.dcm differs from"):
        read(series)


def test_units(tmp_path, oblique, write_dicom):
    for tags, unit in [
        ({}, "HU"),
        ({"RescaleType": "US"}, "HU"),
        ({"RescaleType": "mgml"}, "mgml"),
        ({"Modality": "MR"}, "a.u."),
        ({"Modality": "PT", "Units": "BQML"}, "BQML"),
        ({"RescaleSlope": None, "RescaleIntercept": None}, "a.u."),
    ]:
        assert read(write_dicom(tmp_path / "a.dcm", oblique, 0, **tags)).unit == unit


def test_without_geometry_a_slice_still_has_values(tmp_path, oblique, write_dicom):
    image = read(write_dicom(tmp_path / "a.dcm", oblique, 0, ImagePositionPatient=None))
    assert image.affine is None
    assert image.spacing == pytest.approx((1.5, 0.75))
    image = read(write_dicom(tmp_path / "a.dcm", oblique, 0, PixelSpacing=None))
    assert image.spacing is None


def test_byte_orders_and_encodings_agree():
    expected = pydicom.dcmread(shipped("MR_small.dcm")).pixel_array
    for name in ("MR_small", "MR_small_bigendian", "MR_small_implicit", "MR_small_RLE", "MR_small_expb"):
        image = read(shipped(f"{name}.dcm"))
        assert np.array_equal(image.pixels[0], expected)
        assert image.unit == "a.u."
        assert image.spacing == (0.3125, 0.3125)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MR_truncated.dcm", "number of bytes of pixel data is less than expected"),
        ("SC_rgb_small_odd.dcm", "color picture"),
        ("examples_palette.dcm", "color picture"),
        ("rtdose.dcm", "15 frames"),
        ("SC_rgb_rle_2frame.dcm", "2 frames"),
        ("rtplan.dcm", "holds no pixels"),
        ("test-SR.dcm", "holds no pixels"),
        ("rtstruct.dcm", "damaged"),
        ("MR_small_jpeg_ls_lossless.dcm", "pylibjpeg"),
    ],
)
def test_dicom_that_is_no_gray_image(name, message):
    with pytest.raises(InputError, match=message):
        read(shipped(name))


def test_real_series_in_any_order(shared, tmp_path):
    files = sorted((shared / "ct-torso-totalseg" / "example_ct_dicom").glob("*.dcm"))
    if not files:
        pytest.skip("the DICOM series is absent")
    expected = sorted((pydicom.dcmread(file) for file in files), key=lambda d: float(d.ImagePositionPatient[2]))
    names = [f"{k}.dcm" for k in range(len(files))]
    random.Random(0).shuffle(names)
    for file, name in zip(files, names, strict=True):
        (tmp_path / name).symlink_to(file)
    volume = read(tmp_path)
    for k in (0, 7, 19):
        assert np.array_equal(volume.pixels[0, :, :, k], expected[k].pixel_array.astype(float) - 1024)
    x, y, z = expected[0].ImagePositionPatient
    assert np.allclose(volume.affine[:3, 3], [-x, -y, z])
    assert np.allclose(volume.affine[:3, 2], [0, 0, expected[1].ImagePositionPatient[2] - z])
