"""What tags mean: rescaling, padding, groups of enhanced objects, mosaics, bare data sets, declared sizes."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalSubscript=false

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from scorefield.data import Images, read
from scorefield.data.formats import dicom
from scorefield.errors import InputError
from scorefield.scans.protocols import ParallelCT


@pytest.fixture
def saved(tmp_path, oblique, write_dicom):
    """Writes a slice whose data set is changed by a function first."""

    def save(change, name="a.dcm", **tags):
        path = write_dicom(tmp_path / name, oblique, 0, **tags)
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)
        return path

    return save


def item(**tags):
    part = pydicom.Dataset()
    for name, value in tags.items():
        setattr(part, name, value)
    return pydicom.Sequence([part])


# --- rescaling


@pytest.mark.parametrize("given", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("other", [None, ""])
def test_slope_and_intercept_belong_together(saved, given, other):
    missing = {"RescaleSlope": "RescaleIntercept", "RescaleIntercept": "RescaleSlope"}[given]
    with pytest.raises(InputError, match=f"states {given} and no {missing}"):
        read(saved(lambda d: setattr(d, missing, other) if other == "" else delattr(d, missing)))


def test_empty_tags_are_absent_ones(saved):
    path = saved(lambda d: (setattr(d, "RescaleSlope", ""), setattr(d, "RescaleIntercept", "")))
    image = read(path)
    assert image.unit == "a.u."
    assert np.array_equal(image.pixels[0], pydicom.dcmread(path).pixel_array)
    assert image.modality == "CT"


@pytest.mark.parametrize("slope", ["0", "1e400"])
def test_slopes_that_scale_nothing(saved, slope):
    with pytest.raises(InputError):
        read(saved(lambda d: setattr(d, "RescaleSlope", slope)))


@pytest.mark.parametrize("groups", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_an_enhanced_object_of_one_frame_states_all_in_its_groups(saved, groups):
    """The same numbers, unit and geometry as the classic object with the tags at the root."""
    expected = read(saved(lambda d: None))

    def enhance(dataset):
        group = pydicom.Dataset()
        group.PixelValueTransformationSequence = item(RescaleSlope=0.25, RescaleIntercept=-1024, RescaleType="HU")
        group.PixelMeasuresSequence = item(PixelSpacing=dataset.PixelSpacing, SliceThickness=dataset.SliceThickness)
        group.PlanePositionSequence = item(ImagePositionPatient=dataset.ImagePositionPatient)
        group.PlaneOrientationSequence = item(ImageOrientationPatient=dataset.ImageOrientationPatient)
        for name in ("RescaleSlope", "RescaleIntercept", "PixelSpacing", "SliceThickness", "ImagePositionPatient"):
            delattr(dataset, name)
        del dataset.ImageOrientationPatient
        setattr(dataset, groups, pydicom.Sequence([group]))
        dataset.NumberOfFrames = 1

    image = read(saved(enhance))
    assert (image.unit, image.modality) == ("HU", "CT")
    assert np.array_equal(image.pixels, expected.pixels)
    assert np.array_equal(image.affine, expected.affine)
    assert image.spacing == expected.spacing


# --- padding


@pytest.mark.parametrize(
    ("signed", "stored", "padding"),
    [(0, 63536, 63536), (1, -2000, -2000), (1, -2000, 63536), (0, 0, 0)],
)
def test_padding_is_air(saved, signed, stored, padding):
    """63536 less 1024 would be 62512 HU: brighter than any metal."""

    def pad(dataset):
        array = np.full((5, 7), 1024, "<u2" if not signed else "<i2")
        array[0], array[-1, -1] = stored, 1064
        dataset.PixelData, dataset.PixelRepresentation = array.tobytes(), signed
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.add_new(0x00280120, "SS" if padding < 0 else "US", padding)

    pixels = read(saved(pad)).pixels[0]
    assert (pixels[0] == -1000).all()
    assert (pixels[1:-1] == 0).all()
    assert pixels[-1, -1] == 40


def test_a_range_of_padding(saved):
    def pad(dataset):
        dataset.PixelData = np.arange(35, dtype="<i2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.add_new(0x00280120, "SS", 10)
        dataset.add_new(0x00280121, "SS", 12)

    expected = np.arange(35.0)
    expected[10:13] = -1000
    assert np.array_equal(read(saved(pad)).pixels[0].flatten(), expected)


def test_padding_of_a_unit_without_air_is_the_smallest_value(saved):
    def pad(dataset):
        dataset.PixelData = np.arange(3, 38, dtype="<i2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.Modality = 2, 0, "MR"
        dataset.add_new(0x00280120, "SS", 37)

    assert read(saved(pad)).pixels[0, -1].tolist()[-2:] == [72, 6]


# --- what is no single gray image, and what is not part 10


def test_a_mosaic_is_refused_by_name(saved):
    with pytest.raises(InputError, match="Siemens mosaic"):
        read(saved(lambda d: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])))


@pytest.mark.parametrize("name", ["ExplVR_LitEndNoMeta.dcm", "ExplVR_BigEndNoMeta.dcm"])
def test_bare_data_sets_are_read_for_what_they_are(name):
    """Some of pydicom's examples have neither preamble nor pixels: the sentence is about the pixels."""
    path = get_testdata_file(name, download=False)
    try:
        assert read(path).pixels.isfinite().all()
    except InputError as error:
        assert "holds no pixels" in str(error)  # noqa: PT017


@pytest.mark.parametrize("suffix", [".dcm", ""])
@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_implicit.dcm"])
def test_a_file_without_preamble_is_read(tmp_path, name, suffix):
    raw = Path(get_testdata_file(name, download=False)).read_bytes()
    expected = read(get_testdata_file(name, download=False))
    meta = 144 + int.from_bytes(raw[140:144], "little")
    for cut in (132, meta):  # the preamble; the preamble and the file's meta information
        (tmp_path / f"bare{cut}{suffix}").write_bytes(raw[cut:])
        image = read(tmp_path / f"bare{cut}{suffix}")
        assert np.array_equal(image.pixels, expected.pixels)
        assert np.array_equal(image.affine, expected.affine)


def test_a_missing_decoder_is_named_and_nothing_else_is_blamed_on_it(saved):
    with pytest.raises(InputError, match=r"compressed as JPEG-LS .* install pylibjpeg"):
        read(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False))
    with pytest.raises(InputError) as caught:
        read(get_testdata_file("MR_truncated.dcm", download=False))
    assert "pylibjpeg" not in str(caught.value)


def test_what_the_decoders_cannot_read_says_how_it_is_compressed():
    """A JPEG of 12 bits, for which Pillow has no decoder."""
    with pytest.raises(InputError, match=r"compressed as JPEG Extended .* not decoded"):
        read(get_testdata_file("JPGExtended.dcm", download=False))


def test_a_deflated_data_set_is_counted_before_it_is_read(monkeypatch):
    path = get_testdata_file("image_dfl.dcm", download=False)
    assert read(path).spatial == (512, 512)
    monkeypatch.setattr("scorefield.data.formats.dicom_dataset.free_bytes", lambda device: 100_000)
    monkeypatch.setattr("scorefield.data.room.free_bytes", lambda device: 100_000)
    with pytest.raises(InputError, match="are free"):
        read(path)


def test_nested_folders_of_a_pacs(tmp_path, oblique, write_dicom):
    for study in ("ST01", "ST02"):
        for k in range(3):
            write_dicom(tmp_path / "disc" / "PAT1" / study / "SE1" / f"IM{k}", oblique, k, SeriesInstanceUID=study[-1])
    (tmp_path / "disc" / ".cache").mkdir()
    write_dicom(tmp_path / "disc" / ".cache" / "IM0", oblique, 0)
    (tmp_path / "disc" / "README.txt").write_text("a disc")
    volumes = Images(tmp_path / "disc")
    assert [volume.spatial for volume in volumes] == [(5, 7, 3)] * 2
    assert read(tmp_path / "disc" / "PAT1" / "ST02").spatial == (5, 7, 3)


# --- declared sizes


@pytest.mark.parametrize("surplus", [35, 70, 140])
def test_surplus_data_are_no_volume(saved, surplus):
    def add(dataset):
        dataset.PixelData = dataset.PixelData + bytes(surplus + surplus % 2)

    with pytest.raises(InputError, match="bytes of pixels where 70 are declared"):
        read(saved(add))


def test_one_byte_of_padding_is_no_surplus(saved):
    def odd(dataset):
        dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 3, 5, 8, 8, 7
        dataset.PixelRepresentation, dataset.PixelData = 0, bytes(range(15)) + b"\0"
        dataset["PixelData"].VR = "OB"

    assert read(saved(odd)).pixels[0, -1, -1] == 14 * 0.25 - 1024


def test_a_run_length_bomb_is_refused_before_decoding(saved):
    def swell(dataset):
        dataset.compress(RLELossless)
        dataset.Rows = dataset.Columns = 65535

    path = saved(swell)
    assert path.stat().st_size < 2000
    with pytest.raises(InputError, match=r"declares 8\.59 GB"):
        read(path)


def test_more_memory_than_there_is(saved, monkeypatch):
    monkeypatch.setattr("scorefield.data.room.free_bytes", lambda device: 500)
    with pytest.raises(InputError, match="takes 770 bytes of memory to read and 500 bytes are free"):
        read(saved(lambda d: None))


def test_frames_that_nobody_declared(saved):
    def add(dataset):
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        dataset.PixelData = encapsulate([jpeg((5, 7)), jpeg((5, 7))])
        dataset["PixelData"].VR = "OB"

    with pytest.raises(InputError):
        read(saved(add))


def jpeg(shape):
    import io

    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full(shape, 99, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_the_modality_comes_from_the_file(saved, tmp_path):
    assert read(saved(lambda d: setattr(d, "Modality", "MR"))).modality == "MR"
    image = read(saved(lambda d: None))
    assert image.modality == ParallelCT().prepare(image).modality == "CT"
    np.save(tmp_path / "a.npy", np.ones((4, 4)))
    assert read(tmp_path / "a.npy").modality == ""
    assert read(tmp_path / "a.npy").with_unit("HU").modality == "CT"
    assert dicom.read(saved(lambda d: delattr(d, "Modality"))).modality == ""
