"""Where the image of a run comes from, as DICOM states it: patient, study, frame of reference, source images.

A run keeps nothing of this, so a new series names nobody and has UIDs of its own, functions of the run alone: to export
again gives the same series.  A DICOM file that the user gives lends its frame of reference and is referred to; the
patient and the study are copied only on demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield.data import Image
from scorefield.data.formats import dicom
from scorefield.data.formats.dicom_dataset import load
from scorefield.data.reading import reading
from scorefield.errors import InputError
from scorefield.exports.maps import Maps

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

STUDY = ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID")
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")  # all of these must be there, empty or not
OPTIONAL = ("PatientAge", "PatientSize", "PatientWeight", "StudyDescription")
SOURCE_IMAGE = ("121322", "DCM", "Source image for image processing operation")


@dataclass(frozen=True, eq=False)
class Origin:
    """The patient, the study and the source of a new series.

    Args:
        seed: texts of which the UIDs are a function.
        source: the data set that the image was made of, without pixels; None where it is unknown.
        keeps_identifiers: whether patient and study of the source are copied.
    """

    seed: tuple[str, ...]
    source: Dataset | None = None
    keeps_identifiers: bool = False

    @classmethod
    def unknown(cls, maps: Maps) -> Origin:
        """The origin of a run that nobody knows more about."""
        return cls((maps.digest,))

    @classmethod
    def of(cls, path: Path, maps: Maps, *, keep_identifiers: bool = False) -> Origin:
        """The origin of a run that was made of the DICOM file in ``path``.

        Raises:
            InputError: damaged, no image, or its plane does not cross the run's image.
        """
        place = path.expanduser()
        if not place.is_file():
            raise InputError(f"There is no file {path}; give one DICOM file of the series that the run was made of.")
        _check_place(dicom.read(place), maps.mean.image)
        with reading(place, "copy or export it again"):
            source = load(place, pixels=False)
            words = (str(source.SOPInstanceUID), str(keep_identifiers))
        return cls((maps.digest, *words), source, keep_identifiers)

    def uid(self, name: str) -> UID:
        """The UID of an object of the new study, always the same for the same run and source."""
        from pydicom.uid import generate_uid

        return generate_uid(entropy_srcs=[*self.seed, name])

    def describe(self, dataset: Dataset) -> None:
        """Write patient, study, frame of reference and source images into a data set."""
        source: Any = self.source if self.source is not None else {}
        kept: Any = source if self.keeps_identifiers else {}
        for name in (*PATIENT, *STUDY):
            setattr(dataset, name, kept.get(name) or "")
        for name in OPTIONAL:
            if kept.get(name):
                setattr(dataset, name, kept.get(name))
        dataset.StudyInstanceUID = kept.get("StudyInstanceUID") or self.uid("study")
        dataset.FrameOfReferenceUID = source.get("FrameOfReferenceUID") or self.uid("frame of reference")
        dataset.PositionReferenceIndicator = ""
        if not self.keeps_identifiers:
            dataset.PatientIdentityRemoved = "YES"
            dataset.DeidentificationMethod = "scorefield copies no attribute of a patient"
        if self.source is not None:
            dataset.SourceImageSequence = [_reference(self.source)]


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded concept as an item of a sequence."""
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _reference(source: Dataset) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [code(*SOURCE_IMAGE)]
    return item


def _check_place(source: Image, image: Image) -> None:
    """Refuse a source without a place, or whose center is not in the run's image, nor one slice beside it."""
    assert image.affine is not None
    if source.affine is None:
        raise InputError(f"{source.source} does not say where it lies in the patient; give another file of its series.")
    rows, columns = source.spatial
    center = source.affine @ [(rows - 1) / 2, (columns - 1) / 2, 0, 1]
    index, sizes = np.linalg.solve(image.affine, center)[:3], np.array([*image.spatial, 1][:3])
    if (index < -1).any() or (index > sizes).any():
        raise InputError(f"{source.source} lies elsewhere than the run's image; give a file that the run was made of.")
