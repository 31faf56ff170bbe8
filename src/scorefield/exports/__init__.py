"""A run in the formats of other programs: DICOM series, NIfTI, BART's files, whole or not at all."""

from scorefield.exports.files import write_cfl, write_dicom, write_nifti
from scorefield.exports.maps import Map, Maps
from scorefield.exports.origin import Origin

__all__ = ["Map", "Maps", "Origin", "write_cfl", "write_dicom", "write_nifti"]
