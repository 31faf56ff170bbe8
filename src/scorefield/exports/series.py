r"""The mean of a run as a DICOM series: MR Image Storage, or CT Image Storage in HU, one file for each slice.

Rows and columns are turned as radiologists hang them; pixels are never resampled.  The values are stored in 16 bits:
stored number :math:`s` stands for :math:`a s + b`, with one slope a and one intercept b for all slices, so that each
value is right to half a slope.

References:
    DICOM part 3, C.7.6.2 (image plane), C.8.2.1 (CT), C.8.3.1 (MR), C.11.1 (modality table).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scorefield import __version__
from scorefield.data import Image
from scorefield.data.frame import UNKNOWN
from scorefield.errors import InputError
from scorefield.exports.maps import Maps
from scorefield.exports.origin import Origin, code

if TYPE_CHECKING:
    from pydicom import Dataset

TO_LPS = np.array([-1.0, -1.0, 1.0])
RIGHT_ANGLE = 1e-4  # the cosine between rows and columns that DICOM readers take for zero
LARGEST = 2**16 - 2  # one step is left, so that rounding a slope to 16 characters cannot pass the end
SAVED = "%Y%m%d", "%H%M%S"
PROCESSING = ("109102", "DCM", "Processing Equipment")
OF_KIND = {
    "MR": {"ScanningSequence": "RM", "SequenceVariant": "NONE", "ScanOptions": "", "MRAcquisitionType": "",
           "EchoTime": None, "EchoTrainLength": None},
    "CT": {"KVP": None, "AcquisitionNumber": None},
}  # fmt: skip


def planes(image: Image) -> list[Image]:
    """The slices of an image along its last axis, or the one that it is, rows and columns hung."""
    parts = [image.slice(k, 2) for k in range(image.spatial[2])] if len(image.spatial) == 3 else [image]
    return [part.upright() for part in parts]


def mean_series(maps: Maps, origin: Origin) -> list[Dataset]:
    """The data sets of the mean, ready to be saved.

    Raises:
        InputError: rows and columns are not at right angles.
    """
    slices = planes(maps.mean.image)
    slope, intercept = _scale(maps.mean.image)
    return [_dataset(plane, k, (slope, intercept), maps, origin) for k, plane in enumerate(slices, 1)]


def describe_series(dataset: Dataset, maps: Maps, origin: Origin, name: str, label: str) -> None:
    """Write what the series is, and how it was made, into a data set."""
    from pydicom import Dataset

    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SeriesInstanceUID = origin.uid(f"series {name}")
    dataset.SeriesDescription = f"scorefield {label}, research, not for diagnosis"
    dataset.SeriesNumber = 1 + [m.name for m in maps.all].index(name)
    dataset.Manufacturer, dataset.ManufacturerModelName = "scorefield", "posterior samples"
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = __version__, ""
    dataset.ImageComments = maps.comment
    dataset.ContentDate, dataset.ContentTime = (maps.time.strftime(form) for form in SAVED)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = dataset.ContentDate, dataset.ContentTime
    dataset.TimezoneOffsetFromUTC = "+0000"
    dataset.ContentQualification = "RESEARCH"
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = [code(*PROCESSING)]
    equipment.Manufacturer, equipment.SoftwareVersions = "scorefield", __version__
    equipment.ContributionDescription = maps.comment
    dataset.ContributingEquipmentSequence = [equipment]
    origin.describe(dataset)


def _dataset(plane: Image, number: int, scale: tuple[str, str], maps: Maps, origin: Origin) -> Dataset:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = MRImageStorage if maps.modality == "MR" else CTImageStorage
    dataset.SOPInstanceUID = origin.uid(f"mean {number}")
    dataset.Modality, dataset.InstanceNumber = maps.modality, number
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER" if maps.modality == "MR" else "AXIAL"]
    dataset.DerivationDescription = "Mean of draws from the posterior of the image, given the raw data"
    dataset.PatientPosition, dataset.BurnedInAnnotation = "", "NO"
    for name, value in OF_KIND[maps.modality].items():
        setattr(dataset, name, value)
    describe_series(dataset, maps, origin, "mean", maps.mean.label)
    _place(dataset, plane, number)
    _store(dataset, plane, scale)
    return dataset


def _place(dataset: Dataset, plane: Image, number: int) -> None:
    """Image plane: pixel (i, j) lies at p + i r v + j c u, with the steps r, c down a column and along a row."""
    affine = plane.affine
    assert affine is not None
    steps = np.linalg.norm(affine[:3, :2], axis=0)
    down, along = (TO_LPS[:, None] * affine[:3, :2] / steps).T
    if abs(down @ along) > RIGHT_ANGLE:
        raise InputError("The run's rows and columns are not at right angles, as DICOM's are; export it as NIfTI.")
    gap = abs(float(TO_LPS * affine[:3, 2] @ np.cross(along, down)))
    dataset.ImagePositionPatient = [_number(x) for x in TO_LPS * affine[:3, 3]]
    dataset.ImageOrientationPatient = [_number(x) for x in (*along, *down)]
    dataset.PixelSpacing = [_number(step) for step in steps]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _number(gap)


def _store(dataset: Dataset, plane: Image, scale: tuple[str, str]) -> None:
    values = plane.pixels[0].double().numpy()
    slope, intercept = map(float, scale)
    stored = np.rint((values - intercept) / slope).clip(0, LARGEST + 1).astype("<u2")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = scale
    dataset.RescaleType = "US" if plane.unit == UNKNOWN else plane.unit[:64]
    low, high = float(values.min()), float(values.max())
    dataset.WindowCenter, dataset.WindowWidth = _number((low + high) / 2), _number(max(high - low, slope))
    dataset.PixelData = stored.tobytes()


def _scale(image: Image) -> tuple[str, str]:
    """Slope and intercept of all slices, as they are written."""
    low, high = float(image.pixels.min()), float(image.pixels.max())
    return _number((high - low) / LARGEST or 1.0), _number(low)


def _number(value: float) -> str:
    """A number in the 16 characters that DICOM gives it."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value))
