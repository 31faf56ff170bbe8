"""DICOM slices made from a known function of the patient's coordinates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from io_pattern import sampled
from numpy.typing import NDArray


@pytest.fixture
def write_dicom() -> Callable[..., Path]:
    """Writes slice ``k`` of the pattern on ``affine`` as a scanner would: 16-bit, slope, intercept, LPS."""
    import pydicom
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    def write(path: Path, affine: NDArray, k: int, size: tuple[int, int] = (5, 7), **tags: object) -> Path:
        here = affine.copy()
        here[:3, 3] += k * affine[:3, 2]
        stored = np.rint((sampled(size, here) + 1024) / 0.25).astype(np.int16)
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ here
        steps = np.linalg.norm(lps[:3, :3], axis=0)
        file = pydicom.Dataset()
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = CTImageStorage
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        file.SeriesInstanceUID, file.Modality, file.InstanceNumber = "1.2.3", "CT", 1
        file.Rows, file.Columns = size
        file.PixelSpacing = [float(steps[0]), float(steps[1])]
        file.ImagePositionPatient = [round(float(v), 9) for v in lps[:3, 3]]
        cosines = np.concatenate([lps[:3, 1] / steps[1], lps[:3, 0] / steps[0]])
        file.ImageOrientationPatient = [round(float(v), 9) for v in cosines]
        file.SliceThickness = float(steps[2])
        file.RescaleSlope, file.RescaleIntercept = 0.25, -1024
        file.PhotometricInterpretation, file.SamplesPerPixel = "MONOCHROME2", 1
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
        file.PixelData = stored.tobytes()
        for name, value in tags.items():
            if value is None:
                delattr(file, name)
            else:
                setattr(file, name, value)
        path.parent.mkdir(parents=True, exist_ok=True)
        file.save_as(path, enforce_file_format=True)
        return path

    return write
