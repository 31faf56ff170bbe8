"""The image lies where the scanner's own DICOM lies."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalOperand=false

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from ismrmrd_files import File, complex_noise
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from scorefield import raw
from scorefield.data import read_image

TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0].T
TURN[2] = np.cross(TURN[1], TURN[0])  # DICOM: the normal is row direction x column direction
POSITION = np.array([12.0, -31.0, 55.0])
STEPS = (1.25, 2.0, 4.0)
SIZES = [(8, 12), (7, 9)]


def hand_made_dicom(path, size):
    """The slice as a scanner writes it: the corner is half a field of view before the position, along both axes.

    Rows of the picture run along the phase encoding and columns along the readout, as the axes of the image do.
    """
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.Modality, (dataset.Rows, dataset.Columns) = "MR", size
    dataset.PixelSpacing, dataset.SliceThickness = list(STEPS[:2]), STEPS[2]
    dataset.ImageOrientationPatient = [*TURN[1], *TURN[0]]
    corner = POSITION - (size[0] // 2) * STEPS[0] * TURN[0] - (size[1] // 2) * STEPS[1] * TURN[1]
    dataset.ImagePositionPatient = [float(x) for x in corner]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = np.ones(size, "<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def raw_file(path, size, kspace):
    space = (*size, 1), tuple(n * step for n, step in zip((*size, 1), STEPS, strict=True))
    wide = (2 * size[0], size[1], 1), (2 * space[1][0], *space[1][1:])
    return File(encoded=wide, image=space, position=tuple(POSITION), directions=TURN).add(kspace).write(path)


@pytest.mark.parametrize("size", SIZES)
def test_a_raw_scan_lies_where_its_dicom_lies(tmp_path, size):
    raw_scan = raw.read(raw_file(tmp_path / "a.h5", size, complex_noise(1, 2 * size[0], size[1])))
    truth = read_image(hand_made_dicom(tmp_path / "a.dcm", size))
    assert raw_scan.scan.spatial == truth.spatial
    np.testing.assert_allclose(np.array(raw_scan.scan.affine), np.array(truth.affine), atol=1e-4)
    assert raw_scan.scan.frame.modality == "MR"


@pytest.mark.parametrize("size", SIZES)
def test_a_drop_of_oil_is_found_where_it_is(tmp_path, size):
    """Its signal is exp(-2 pi i k r), r its way in mm from the position of the slice: flips and transposes fail."""
    way = 2 * STEPS[0] * TURN[0] - 3 * STEPS[1] * TURN[1]
    frequencies = [(np.arange(n) - n // 2) / (n * step) for n, step in zip((2 * size[0], size[1]), STEPS, strict=False)]
    along = [np.exp(-2j * np.pi * k * (way @ axis)) for k, axis in zip(frequencies, TURN, strict=False)]
    kspace = 100 * np.multiply.outer(*along)[None] + complex_noise(1, 2 * size[0], size[1])
    scan = raw.read(raw_file(tmp_path / "a.h5", size, kspace)).scan
    image = scan.operator().H(scan.data[None])[0, 0].abs().numpy()
    row, column = np.unravel_index(image.argmax(), image.shape)
    assert scan.affine is not None
    place = np.diag([-1, -1, 1]) @ (scan.affine @ [row, column, 0, 1])[:3]
    np.testing.assert_allclose(place, POSITION + way, atol=1e-3)


def test_directions_that_are_none_give_no_place(tmp_path):
    for directions in (np.zeros((3, 3)), np.ones((3, 3)), np.full((3, 3), np.nan)):
        file = File(directions=directions).add(complex_noise(1, 16, 12))
        path = file.write(tmp_path / "a.h5")
        scan = raw.read(path).scan
        assert scan.affine is None
        assert scan.spacing == (20.0, 20.0)
        assert any("no place in the patient" in remark for remark in raw.inspect(path).remarks)
