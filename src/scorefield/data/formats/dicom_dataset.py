"""The meaning of a DICOM data set: its values, unit and geometry, wherever the file states them.

Classic objects state rescaling and geometry at the root, enhanced ones in the functional groups of the frame and in the
shared ones (part 3, C.7.6.16).  Slope and intercept belong together; one without the other is refused.  Padding, the
pixels outside the reconstructed circle (C.7.5.1.1.2), is air: -1000 HU, elsewhere the smallest value of the rest.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scorefield.data.frame import UNKNOWN
from scorefield.data.room import PACKBITS, check_ratio, check_room, inflated
from scorefield.errors import InputError
from scorefield.machine import free_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

AIR = -1000.0  # HU
GROUPS = {
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
}
_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_TRAILER = 8  # bytes: the checksum and the length that some writers put behind a deflated data set
_PER_PIXEL = 20  # bytes while stored numbers are rescaled (8), padded (8) and made float32 (4)


def begins_like(raw: bytes) -> bool:
    """Whether the first bytes of a file are DICOM: with the preamble of part 10, or a bare data set of older tools."""
    if raw[128:132] == b"DICM":
        return True
    group, element = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[2:4], "little")
    explicit, short = raw[4:6].isalpha() and raw[4:6].isupper(), int.from_bytes(raw[4:8], "little") <= 64
    return len(raw) >= 8 and group in (2, 8) and element <= 0x20 and (explicit or short)


def load(path: Path, *, pixels: bool = True) -> Dataset:
    """The data set, with or without its pixels; a missing preamble is no obstacle.

    Raises:
        InputError: no DICOM, or deflated and larger than the free memory.
    """
    import pydicom

    with open(path, "rb") as file:
        first = file.read(132)
    bare = first[128:] != b"DICM"
    if bare and first[:2] not in (b"\x08\0", b"\0\x08", b"\x02\0"):
        raise InputError(f"{path} does not begin as DICOM does; it is something else, so export it again.")
    if not bare:
        _check_deflated(path)
    dataset = pydicom.dcmread(path, force=bare, stop_before_pixels=not pixels)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _syntax(*dataset.original_encoding)
    return dataset


def find(dataset: Dataset, name: str) -> Any:
    """The value of a tag of ``GROUPS``: of the first frame, of all frames, or of the root; None if absent or empty."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for group in (dataset.get(groups) or [])[:1]:
            for item in (group.get(GROUPS[name]) or [])[:1]:
                if item.get(name) not in (None, ""):
                    return item.get(name)
    value = dataset.get(name)
    return None if value in (None, "") else value


def refuse(dataset: Dataset, path: Path) -> None:
    """Raise InputError where the data set is no single gray image."""
    if not any(name in dataset for name in _DATA):
        raise InputError(f"{path} holds no pixels; it is damaged or no image, so leave it out or copy it again.")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise InputError(f"{path} holds {frames} frames in one file; convert it to NIfTI with dcm2niix first.")
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        raise InputError(
            f"{path} is a Siemens mosaic, many slices side by side in one picture; convert it with dcm2niix first."
        )
    kind = str(dataset.get("PhotometricInterpretation", ""))
    if not kind.startswith("MONOCHROME"):
        raise InputError(f"{path} is a color picture ({kind or 'unknown kind'}); export it as PNG.")


def unit(dataset: Dataset) -> str:
    """RescaleType where it says one; rescaled CT without it is HU by the standard (part 3, C.8.2.1.1.2)."""
    stated = str(find(dataset, "RescaleType") or dataset.get("Units") or "")
    if modality(dataset) == "CT" and find(dataset, "RescaleSlope") is not None and stated in ("", "US"):
        return "HU"
    return UNKNOWN if stated in ("", "US") else stated


def modality(dataset: Dataset) -> str:
    """The kind of scanner, such as CT or MR; empty if the file does not say."""
    return str(dataset.get("Modality") or "")


def values(dataset: Dataset, path: Path) -> np.ndarray:
    """The rescaled values (rows, columns), padding replaced by air.

    Raises:
        InputError: slope without intercept, a compression without a decoder, or more or fewer pixels than declared.
    """
    stored = _stored(dataset, path)
    rescaled = _rescale(stored, dataset, path)
    padding = _padding(stored, dataset)
    if padding is None or not padding.any():
        return rescaled
    rest = rescaled[~padding]
    air = AIR if unit(dataset) == "HU" else rest.min() if rest.size else 0.0
    return np.where(padding, air, rescaled)


def _stored(dataset: Dataset, path: Path) -> np.ndarray:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import RLELossless

    syntax = dataset.file_meta.TransferSyntaxUID
    shape = int(dataset.Rows), int(dataset.Columns)
    held = max(len(dataset[name].value or b"") for name in _DATA if name in dataset)
    wanted = math.ceil(shape[0] * shape[1] * int(dataset.BitsAllocated) / 8)
    if not syntax.is_compressed or syntax.is_deflated:
        if held > wanted + wanted % 2:
            raise InputError(
                f"{path} holds {held} bytes of pixels where {wanted} are declared; copy or export it again."
            )
    elif syntax == RLELossless:
        check_ratio(path, wanted, held, PACKBITS)
    elif not get_decoder(syntax).is_available:
        raise InputError(
            f"{path} is compressed as {syntax.name}, for which no decoder is installed; install pylibjpeg with"
            " pylibjpeg-libjpeg and pylibjpeg-openjpeg, or export it without compression."
        )
    check_room(path, wanted + _PER_PIXEL * shape[0] * shape[1])
    array = _decode(dataset, path)
    if array.shape != shape:
        raise InputError(f"{path} holds pixels {array.shape} where {shape} are declared; copy or export it again.")
    return array


def _decode(dataset: Dataset, path: Path) -> np.ndarray:
    from pydicom.pixels.utils import pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        return pixel_array(dataset)
    except RuntimeError as error:  # of all decoders that are installed
        if "JPEG" not in syntax.name:
            raise
        raise InputError(
            f"{path} is compressed as {syntax.name} and was not decoded; it is damaged or of a kind that needs"
            " pylibjpeg with pylibjpeg-libjpeg, so copy it again, install these, or export it without compression."
        ) from error


def _rescale(stored: np.ndarray, dataset: Dataset, path: Path) -> np.ndarray:
    from pydicom.pixels.processing import apply_modality_lut

    if "ModalityLUTSequence" in dataset:
        return np.asarray(apply_modality_lut(stored, dataset))
    slope, intercept = find(dataset, "RescaleSlope"), find(dataset, "RescaleIntercept")
    if slope is None and intercept is None:
        return stored
    if slope is None or intercept is None:
        given, other = ("Slope", "Intercept") if intercept is None else ("Intercept", "Slope")
        raise InputError(f"{path} states Rescale{given} and no Rescale{other}, which belong together; export it again.")
    if float(slope) == 0 or not math.isfinite(float(slope)) or not math.isfinite(float(intercept)):
        raise InputError(f"{path} has the rescale slope {slope} and intercept {intercept}; export it again.")
    return stored * float(slope) + float(intercept)


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """Which pixels are padding; the tag's sign may be read otherwise than that of the pixels."""
    value, limit = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if value in (None, "") or stored.dtype.kind not in "iu":
        return None
    bits = 8 * stored.dtype.itemsize
    ends = [int(end) % 2**bits for end in (value, value if limit in (None, "") else limit)]
    low, high = sorted(int(np.array(end, dtype=f"u{bits // 8}").astype(stored.dtype)) for end in ends)
    return (stored >= low) & (stored <= high)


def _check_deflated(path: Path) -> None:
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raw = path.read_bytes()[144 + int(meta.FileMetaInformationGroupLength) :]  # preamble, DICM, the length itself
        check_room(path, 2 * inflated([raw], free_bytes(torch.device("cpu")), -15, slack=_TRAILER))


def _syntax(implicit: bool | None, little: bool | None) -> Any:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not little:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
