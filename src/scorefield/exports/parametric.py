"""Standard deviation and interval bounds as DICOM Parametric Maps, by highdicom.

Each is one file of all slices with the values themselves in single precision, in the plane and the frame of reference
of the mean's series, to which it refers.

References:
    Bridge et al., "Highdicom: a Python library for standardized encoding of image annotations and machine learning
    model outputs in pathology and radiology", J. Digit. Imaging 2022; DICOM part 3, A.75.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scorefield import __version__
from scorefield.data.image import HOUNSFIELD
from scorefield.exports.maps import Map, Maps
from scorefield.exports.origin import Origin
from scorefield.exports.series import describe_series, planes

if TYPE_CHECKING:
    from pydicom import Dataset

ABSENT = (
    "Standard deviation and interval bounds were not written: they are parametric maps, which need highdicom;"
    " pip install 'scorefield[dicom]', and export again with --overwrite."
)


def is_possible() -> bool:
    """Whether highdicom is installed."""
    return importlib.util.find_spec("highdicom") is not None


def parametric_map(given: Map, series: Sequence[Dataset], maps: Maps, origin: Origin) -> Dataset:
    """The data set of one map, which refers to the ``series`` of the mean."""
    from highdicom import VOILUTTransformation  # pyright: ignore[reportMissingImports]  # an extra
    from highdicom.pm import ParametricMap  # pyright: ignore[reportMissingImports]  # an extra

    values = np.stack([plane.pixels[0].numpy() for plane in planes(given.image)]).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    dataset = ParametricMap(
        series,
        values,
        series_instance_uid=origin.uid(f"series {given.name}"),
        series_number=1,  # describe_series writes the right one
        sop_instance_uid=origin.uid(given.name),
        instance_number=1,
        manufacturer="scorefield",
        manufacturer_model_name="posterior samples",
        software_versions=__version__,
        device_serial_number=maps.digest[:16],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_meaning(given, low, high)],
        voi_lut_transformations=[VOILUTTransformation((low + high) / 2, (high - low) or 1.0)],
        content_label=given.name.upper(),
        content_description=f"Posterior {given.label}, research"[:64],
    )
    describe_series(dataset, maps, origin, given.name, given.label)
    dataset.DeviceSerialNumber = maps.digest[:16]
    dataset.PositionReferenceIndicator = ""
    organization = origin.uid(f"dimensions {given.name}")  # highdicom draws another at each call
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    return dataset


def _meaning(given: Map, low: float, high: float):
    """The stored numbers are the values, in their unit."""
    from highdicom.pm import RealWorldValueMapping  # pyright: ignore[reportMissingImports]  # an extra
    from pydicom.sr.codedict import codes

    unit = codes.UCUM.HounsfieldUnit if given.image.unit == HOUNSFIELD else codes.UCUM.NoUnits
    return RealWorldValueMapping(
        lut_label=given.name.upper(),
        lut_explanation=f"{given.label} in {given.image.unit}"[:64],
        unit=unit,
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
    )
