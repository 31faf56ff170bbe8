"""What ``scorefield export`` writes, read back by other programs: place, values, and nothing that names a patient."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalOperand=false, reportOptionalSubscript=false, reportCallIssue=false

from __future__ import annotations

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, ParametricMapStorage

from scorefield.data import Frame, read_image
from scorefield.exports import parametric
from scorefield.noise import White
from scorefield.reconstruction.results import save_run
from scorefield.samples import Samples
from scorefield.scans import NoisyImage
from scorefield.units import WATER
from support import normal

TO_LPS = np.diag([-1.0, -1.0, 1.0])
ALONG, DOWN, NORMAL = np.array([[0.8, 0.6, 0.0], [-0.36, 0.48, -0.8], [-0.48, 0.64, 0.6]])  # LPS
CORNER, STEPS = np.array([-10.0, 20.0, 30.0]), np.array([1.25, 2.0, 4.0])
SHAPES = {"slice": (1, 5, 7), "volume": (1, 5, 7, 3)}
NAMES = ("std", "lower", "upper")


def hung():
    """Index to RAS+ mm: rows to the feet, columns to the left, slices to the back, all obliquely."""
    matrix = np.eye(4)
    matrix[:3, :3] = TO_LPS @ np.stack([DOWN, ALONG, NORMAL], 1) * STEPS
    matrix[:3, 3] = TO_LPS @ CORNER
    return matrix


def lying():
    """Rows to the right and columns to the head: to be turned before a radiologist sees it."""
    matrix = hung()[:, [1, 0, 2, 3]]
    matrix[:, 3] += 4 * matrix[:, 0] + 6 * matrix[:, 1]
    matrix[:, :2] *= -1
    return matrix


@pytest.fixture
def run_of(tmp_path):
    """Write a run of 19 draws, and return its folder."""

    def make(kind="slice", *, unit="a.u.", affine=None, is_complex=False, name="run"):
        shape = SHAPES[kind]
        ramp = torch.arange(float(np.prod(shape))).reshape(shape) / np.prod(shape)
        draws = ({"1/mm": 0.002, "HU": 100.0}.get(unit, 3.0) * (9 + 5 * ramp + normal(19, *shape, seed=4))).float()
        draws = torch.polar(draws, (4 * ramp).expand_as(draws)) if is_complex else draws
        frame = Frame(affine=hung() if affine is None else affine, unit=unit)
        scan = NoisyImage(torch.zeros(shape, dtype=draws.dtype), noise=White(1.0), frame=frame)
        samples = Samples(draws, provenance={"seed": 7, "versions": {"scorefield": "0.1.0"}})
        return save_run(samples, tmp_path / name, scan=scan, record={"scan": "Mustermann.h5", "prior": "brain-t1"})

    return make


@pytest.fixture
def source(tmp_path):
    """A DICOM file of a patient, of a wider field around the middle of the run's image."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = MRImageStorage, "1.2.3.4", "MR"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Mustermann^Erika", "X-4711", "19640812"
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID, dataset.StudyDate = "1.2.3", "1.2.5", "20240102"
    dataset.ImagePositionPatient = [*(CORNER - 2 * STEPS[0] * DOWN - 2 * STEPS[1] * ALONG)]
    dataset.ImageOrientationPatient, dataset.PixelSpacing = [*ALONG, *DOWN], [*STEPS[:2]]
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 9, 11, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelData = bytes(2 * 99)
    dataset.save_as(tmp_path / "source.dcm", enforce_file_format=True)
    return tmp_path / "source.dcm"


def slices(folder):
    """The data sets of the mean, in the order of their names."""
    return [pydicom.dcmread(path) for path in sorted((folder / "mean").iterdir())]


def points(position, cosines, spacing, shape):
    """LPS coordinates (rows, columns, 3) of the pixels of a slice, by the standard's equation C.7.6.2.1-1."""
    along, down = np.array(cosines, float).reshape(2, 3)
    i, j = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.array(position, float) + i[..., None] * spacing[0] * down + j[..., None] * spacing[1] * along


def sampled(image, places):
    """The values (rows, columns) of an image of the run at LPS coordinates, which must be those of its pixels."""
    index = (places @ TO_LPS - image.affine[:3, 3]) @ np.linalg.inv(image.affine[:3, :3]).T
    whole = np.rint(index).astype(int)
    assert np.abs((index - whole) @ image.affine[:3, :3].T).max() < 1e-3  # mm
    return image.pixels[0].numpy()[tuple(np.moveaxis(whole, -1, 0)[: len(image.spatial)])]


@pytest.mark.parametrize("affine", [hung, lying])
@pytest.mark.parametrize("kind", SHAPES)
def test_each_pixel_of_the_mean_lies_where_it_lay(call, tmp_path, run_of, kind, affine):
    run = run_of(kind, affine=affine())
    status, out, err = call("export", run, "--dicom", tmp_path / "out")
    assert status == 0, err
    assert "not for diagnosis" in out
    mean, files = read_image(run / "mean.nii.gz"), slices(tmp_path / "out")
    assert len(files) == {"slice": 1, "volume": 3}[kind]
    for k, file in enumerate(files):
        assert file.SOPClassUID == MRImageStorage
        places = points(
            file.ImagePositionPatient, file.ImageOrientationPatient, file.PixelSpacing, file.pixel_array.shape
        )
        values = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
        assert np.abs(values - sampled(mean, places)).max() <= 0.5001 * float(file.RescaleSlope)
        assert float(file.SliceThickness) == pytest.approx(4.0, abs=1e-3)
        np.testing.assert_allclose(file.ImageOrientationPatient, [*ALONG, *DOWN], atol=1e-6)
        assert tuple(file.PixelSpacing) == pytest.approx((1.25, 2.0), abs=1e-6)
        hand = np.array([-6.1, 24.8, 28.0]) + k * np.array([-1.92, 2.56, 2.4])
        np.testing.assert_allclose(places[2, 3], hand, atol=1e-3)


@pytest.mark.parametrize("kind", SHAPES)
def test_scorefield_and_nibabel_agree_on_the_place(call, tmp_path, run_of, kind):
    run = run_of(kind)
    status, _, err = call("export", run, "--dicom", tmp_path / "out", "--nifti", tmp_path / "x.nii.gz")
    assert status == 0, err
    np.testing.assert_allclose(nib.load(tmp_path / "x.nii.gz").affine, hung(), atol=1e-3)
    series = read_image(tmp_path / "out" / "mean")
    np.testing.assert_allclose(series.affine[:, [0, 1, 3]], hung()[:, [0, 1, 3]], atol=1e-3)
    if kind == "volume":
        np.testing.assert_allclose(series.affine, hung(), atol=1e-3)
    for name in ("", *(f"_{name}" for name in NAMES)):
        written = read_image(tmp_path / f"x{name}.nii.gz")
        assert torch.equal(written.pixels, read_image(run / f"{name[1:] or 'mean'}.nii.gz").pixels)
        assert b"Mustermann" not in (tmp_path / f"x{name}.nii.gz").read_bytes()


def test_simpleitk_reads_the_same_place(call, tmp_path, run_of):
    sitk = pytest.importorskip("SimpleITK")
    assert call("export", run_of("volume"), "--dicom", tmp_path / "out")[0] == 0
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out" / "mean")))
    image = reader.Execute()
    place = image.TransformIndexToPhysicalPoint((3, 2, 1))
    np.testing.assert_allclose(place, [-8.02, 27.36, 30.4], atol=1e-3)
    mean = read_image(tmp_path / "run" / "mean.nii.gz").pixels[0, 2, 3, 1]
    assert image.GetPixel((3, 2, 1)) == pytest.approx(float(mean), abs=1e-3)


@pytest.mark.parametrize("affine", [hung, lying])
@pytest.mark.parametrize("kind", SHAPES)
def test_spread_and_bounds_are_maps_in_the_place_of_the_mean(call, tmp_path, run_of, kind, affine):
    pytest.importorskip("highdicom")
    run = run_of(kind, affine=affine())
    assert call("export", run, "--dicom", tmp_path / "out")[0] == 0
    means = {str(file.SOPInstanceUID) for file in slices(tmp_path / "out")}
    first = slices(tmp_path / "out")[0]
    for name in NAMES:
        given, image = pydicom.dcmread(tmp_path / "out" / f"{name}.dcm"), read_image(run / f"{name}.nii.gz")
        assert given.SOPClassUID == ParametricMapStorage
        assert given.StudyInstanceUID == first.StudyInstanceUID
        assert given.FrameOfReferenceUID == first.FrameOfReferenceUID
        assert given.SeriesInstanceUID != first.SeriesInstanceUID
        referenced = given.ReferencedSeriesSequence[0]
        assert referenced.SeriesInstanceUID == first.SeriesInstanceUID
        assert {str(item.ReferencedSOPInstanceUID) for item in referenced.ReferencedInstanceSequence} == means
        shared, frames = given.SharedFunctionalGroupsSequence[0], given.PerFrameFunctionalGroupsSequence
        pixels = np.reshape(given.pixel_array, (len(frames), given.Rows, given.Columns))
        for frame, values in zip(frames, pixels, strict=True):
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            cosines = shared.PlaneOrientationSequence[0].ImageOrientationPatient
            places = points(position, cosines, shared.PixelMeasuresSequence[0].PixelSpacing, values.shape)
            np.testing.assert_array_equal(values, sampled(image, places))


def test_ct_is_in_hounsfield_units(call, tmp_path, run_of):
    run = run_of(unit="1/mm")
    assert call("export", run, "--dicom", tmp_path / "out")[0] == 0
    (file,) = slices(tmp_path / "out")
    assert (file.SOPClassUID, file.Modality, file.RescaleType) == (CTImageStorage, "CT", "HU")
    image, mean = read_image(tmp_path / "out" / "mean" / "0001.dcm"), read_image(run / "mean.nii.gz").pixels
    assert image.unit == "HU"
    np.testing.assert_allclose(image.pixels, 1000 * (mean / WATER - 1), atol=0.51 * float(file.RescaleSlope) + 1e-3)
    if parametric.is_possible():
        std = pydicom.dcmread(tmp_path / "out" / "std.dcm")
        wanted = 1000 / WATER * read_image(run / "std.nii.gz").pixels[0]
        np.testing.assert_allclose(std.pixel_array, wanted, rtol=1e-5)
        upper = pydicom.dcmread(tmp_path / "out" / "upper.dcm")
        np.testing.assert_allclose(upper.pixel_array, 1000 * (read_image(run / "upper.nii.gz").pixels[0] / WATER - 1),
                                   rtol=1e-5, atol=1e-2)  # fmt: skip


def test_the_header_says_what_it_is_and_names_nobody(call, tmp_path, run_of, source):
    run = run_of()
    for extra in ((), ("--source", source)):
        folder = tmp_path / f"out{len(extra)}"
        assert call("export", run, "--dicom", folder, *extra)[0] == 0
        for path in sorted(folder.rglob("*.dcm")):
            file, raw = pydicom.dcmread(path), path.read_bytes()
            assert "research, not for diagnosis" in file.SeriesDescription
            for words in ("not for diagnosis", "Prior brain-t1", "seed 7", "scorefield 0.1.0"):
                assert words in file.ImageComments
                assert words in file.ContributingEquipmentSequence[-1].ContributionDescription
            assert (file.PatientIdentityRemoved, file.ContentQualification) == ("YES", "RESEARCH")
            for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber", "StudyID"):
                assert not file.get(name)
            for secret in (b"Mustermann", b"4711", b"1964", b"20240102"):
                assert secret not in raw
            assert file.StudyInstanceUID != "1.2.3"


def test_a_source_lends_its_frame_and_on_demand_its_patient(call, tmp_path, run_of, source):
    run = run_of()
    assert call("export", run, "--dicom", tmp_path / "a", "--source", source)[0] == 0
    status, _, err = call("export", run, "--dicom", tmp_path / "b", "--source", source, "--keep-identifiers")
    assert status == 0, err
    (plain,), (named,) = slices(tmp_path / "a"), slices(tmp_path / "b")
    for file in (plain, named):
        assert file.FrameOfReferenceUID == "1.2.5"
        assert file.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    assert plain.SOPInstanceUID != named.SOPInstanceUID
    for path in (tmp_path / "b").rglob("*.dcm"):
        file = pydicom.dcmread(path)
        assert (str(file.PatientName), file.PatientID, file.StudyDate) == ("Mustermann^Erika", "X-4711", "20240102")
        assert file.StudyInstanceUID == "1.2.3"
        assert "PatientIdentityRemoved" not in file


def test_exporting_twice_gives_the_same_series(call, tmp_path, run_of):
    run = run_of()
    for name in ("a", "b"):
        assert call("export", run, "--dicom", tmp_path / name)[0] == 0
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.dcm"))
    assert len(files) == 4 if parametric.is_possible() else 1
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert call("export", run_of("volume", name="other"), "--dicom", tmp_path / "c")[0] == 0
    one, other = slices(tmp_path / "a")[0], slices(tmp_path / "c")[0]
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert one[name].value != other[name].value
        assert one[name].value.is_valid


def test_a_constant_image_keeps_its_value(call, tmp_path):
    frame = Frame(affine=hung())
    scan = NoisyImage(torch.zeros(1, 4, 4), noise=White(1.0), frame=frame)
    run = save_run(Samples(torch.full((3, 1, 4, 4), 0.0731), provenance={}), tmp_path / "run", scan=scan)
    status, _, err = call("export", run, "--dicom", tmp_path / "out")
    assert status == 0, err
    np.testing.assert_allclose(read_image(tmp_path / "out" / "mean").pixels, 0.0731, rtol=1e-6)


def test_without_highdicom_the_mean_is_written_and_the_rest_is_named(call, tmp_path, run_of, monkeypatch):
    monkeypatch.setattr(parametric, "is_possible", lambda: False)
    status, out, _ = call("export", run_of(), "--dicom", tmp_path / "out")
    assert status == 0
    assert "pip install 'scorefield[dicom]'" in out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mean"]


@pytest.mark.parametrize("is_complex", [False, True])
def test_cfl_holds_the_complex_mean(call, tmp_path, run_of, is_complex):
    run = run_of(is_complex=is_complex)
    status, _, err = call("export", run, "--cfl", tmp_path / "x.y")
    assert status == 0, err
    written = read_image(tmp_path / "x.y.cfl").pixels
    assert torch.equal(written, torch.from_numpy(np.load(run / "mean.npy")).to(torch.complex64).reshape(written.shape))
    for name in NAMES:
        other = read_image(tmp_path / f"x.y_{name}.cfl").pixels
        assert torch.equal(other.real, read_image(run / f"{name}.nii.gz").pixels)


def test_nothing_is_replaced_unless_it_is_said(call, tmp_path, run_of):
    run, places = run_of(), (tmp_path / "d", tmp_path / "n.nii", tmp_path / "c")
    for option, place in zip(("--dicom", "--nifti", "--cfl"), places, strict=True):
        assert call("export", run, option, place)[0] == 0
        status, _, err = call("export", run, option, place)
        assert (status, "--overwrite" in err, len(err.splitlines())) == (2, True, 1)
        assert call("export", run, option, place, "--overwrite")[0] == 0
    (tmp_path / "d" / "mine.txt").write_text("x")
    assert call("export", run, "--dicom", tmp_path / "d", "--overwrite")[0] == 2
    assert (tmp_path / "d" / "mean" / "0001.dcm").exists()


@pytest.mark.parametrize(
    ("unit", "affine", "arguments", "words"),
    [
        ("a.u.", hung, (), "Nothing is to be written"),
        ("a.u.", hung, ("--nifti", "x.png"), "no name of a NIfTI file"),
        ("a.u.", hung, ("--dicom", "o", "--keep-identifiers"), "--source"),
        ("a.u.", hung, ("--nifti", "x.nii", "--source", "y"), "for DICOM"),
        ("a.u.", hung, ("--dicom", "o", "--source", "absent.dcm"), "There is no file"),
        ("a.u.", hung, ("--dicom", "o", "--source", "run/mean.png"), "does not begin as DICOM"),
        ("a.u.", lambda: hung() @ _shear(), ("--dicom", "o"), "right angles"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(call, tmp_path, run_of, monkeypatch, unit, affine, arguments, words):
    monkeypatch.chdir(tmp_path)
    status, _, err = call("export", run_of(unit=unit, affine=affine()), *arguments)
    assert status == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def _shear():
    matrix = np.eye(4)
    matrix[0, 1] = 0.1
    return matrix


def test_a_run_without_a_place_is_no_dicom(call, tmp_path):
    scan = NoisyImage(torch.zeros(1, 4, 4), noise=White(1.0))
    run = save_run(Samples(normal(3, 1, 4, 4).float()), tmp_path / "run", scan=scan)
    status, _, err = call("export", run, "--dicom", tmp_path / "out")
    assert status == 2
    assert "no place in the patient" in err
    assert call("export", run, "--cfl", tmp_path / "x", "--nifti", tmp_path / "x.nii")[0] == 0


def test_a_source_elsewhere_and_a_damaged_run_are_refused(call, tmp_path, run_of, source):
    away = hung()
    away[:3, 3] += 60
    run = run_of(affine=away)
    status, _, err = call("export", run, "--dicom", tmp_path / "out", "--source", source)
    assert (status, "lies elsewhere" in err) == (2, True)
    (run / "std.nii.gz").write_bytes((run / "upper.nii.gz").read_bytes())
    status, _, err = call("export", run, "--nifti", tmp_path / "x.nii")
    assert (status, "is not the file that was written" in err) == (2, True)
