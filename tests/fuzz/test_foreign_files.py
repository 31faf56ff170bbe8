"""Damaged files of other programs: a reader says what is wrong, or reads what an independent decoder reads.

The judges are nibabel, pydicom, Pillow, tifffile, numpy and zlib, called directly.  For each damaged file a reader may
raise an ``InputError`` of one short sentence, or return the pixels of the judge; it never takes what the judge refuses.
"""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalSubscript=false

from __future__ import annotations

import gzip
import io
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import PIL.Image
import pydicom
import pytest
import tifffile
from mutations import BYTES, Mutation, budget, mutate
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, MRImageStorage, RLELossless

from scorefield.data import read
from scorefield.data.formats.raster import LUMINANCE
from scorefield.errors import InputError
from scorefield.machine import peak_memory_mb

LONGEST = 500  # characters of a sentence, with the name of the file
SECONDS = 5  # of the processor, for a file of some kilobytes
MEGABYTES = 250  # that all readings of one kind may add to the peak of the process
ROUGH = np.random.default_rng(7).integers(0, 4000, (13, 11))
SMOOTH = (np.add.outer(np.arange(24), np.arange(20)) * 5).astype(np.uint8)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        suffix: of its name.
        make: a sound file.
        judge: the values of a file by another decoder, in the order of ours; raises where it refuses the file.
        further: mutations beside those of bytes.
    """

    suffix: str
    make: Callable[[], bytes]
    judge: Callable[[Path], np.ndarray]
    further: tuple[Mutation, ...] = ()


# --- NIfTI and npy


def nifti(dtype: type = np.int16, slope: float = 1, inter: float = 0) -> bytes:
    stored = ROUGH.astype(dtype).reshape(13, 11, 1).repeat(3, 2)
    image = nib.Nifti1Image(stored, np.diag([2.0, 2, 3, 1]))
    raw = bytearray(image.to_bytes())
    raw[112:120] = np.array([slope, inter], "<f4").tobytes()
    return bytes(raw)


def judge_nifti(path: Path) -> np.ndarray:
    if path.suffix == ".gz":
        gzip.decompress(path.read_bytes())  # the checksum, which nibabel does not reach
    array = np.asarray(nib.load(path).dataobj)
    sizes = (*array.shape, *[1] * (5 - array.ndim))
    return np.moveaxis(array.reshape(sizes)[:, :, :, 0], -1, 0)


def inside_gzip(raw: bytes, rng: np.random.Generator) -> bytes:
    """Damage before the compression, so that the checksum is right."""
    inner = gzip.decompress(raw)
    return gzip.compress(BYTES[int(rng.integers(len(BYTES)))](inner, rng), 1, mtime=0)


def npy(dtype: str) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, ROUGH.astype(dtype))
    return buffer.getvalue()


# --- pictures


def picture(array: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def judge_picture(path: Path) -> np.ndarray:
    with PIL.Image.open(path) as file:
        file.verify()  # of PNG, the checksum of each chunk
    with PIL.Image.open(path) as file:
        turned = PIL.ImageOps.exif_transpose(file)
        gray = np.asarray(turned)
        if turned.mode not in ("1", "L", "F") and not turned.mode.startswith("I"):
            gray = np.asarray(turned.convert("RGB"), np.float64) @ np.array(LUMINANCE)
    return gray


def judge_tiff(path: Path) -> np.ndarray:
    """Pillow, and tifffile where both show the numbers as stored."""
    gray = judge_picture(path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        plain = page.photometric == tifffile.PHOTOMETRIC.MINISBLACK and 274 not in page.tags
        if plain and page.bitspersample in (8, 16, 32):
            assert np.array_equal(page.asarray().squeeze(), gray.squeeze()), "tifffile reads other numbers"
    return gray


def sound_checksum(raw: bytes, rng: np.random.Generator) -> bytes:
    """Damage in one chunk of a PNG, or in its rows, whose checksums are made right."""
    chunks, place = [], 8
    while place < len(raw):
        length = int.from_bytes(raw[place : place + 4], "big")
        chunks.append((raw[place + 4 : place + 8], raw[place + 8 : place + 8 + length]))
        place += 12 + length
    number, damage = int(rng.integers(len(chunks) - 1)), BYTES[int(rng.integers(len(BYTES)))]
    name, body = chunks[number]
    if name == b"IDAT" and rng.random() < 0.7:
        chunks[number] = name, zlib.compress(damage(zlib.decompress(body), rng))
    else:
        chunks[number] = name, damage(body, rng)
    whole = (len(b).to_bytes(4, "big") + n + b + zlib.crc32(n + b).to_bytes(4, "big") for n, b in chunks)
    return raw[:8] + b"".join(whole)


# --- DICOM


def dicom(change: Callable[[pydicom.Dataset], None] = lambda dataset: None) -> bytes:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.Modality, dataset.RescaleSlope, dataset.RescaleIntercept = "MR", "2", "-5"
    dataset.Rows, dataset.Columns = ROUGH.shape
    dataset.PixelSpacing, dataset.SliceThickness = [0.5, 0.5], 2
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [1, 2, 3], [1, 0, 0, 0, 1, 0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = ROUGH.astype("<i2").tobytes()
    change(dataset)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def as_jpeg(dataset: pydicom.Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.Rows, dataset.Columns = SMOOTH.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = encapsulate([picture(SMOOTH, "JPEG")])
    dataset["PixelData"].VR = "OB"


def judge_dicom(path: Path) -> np.ndarray:
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    array = dataset.pixel_array
    assert array.shape == (dataset.Rows, dataset.Columns), "pydicom reads several frames"
    return apply_modality_lut(array, dataset)


KINDS = {
    "nii": Kind(".nii", lambda: nifti(slope=0.5, inter=-7), judge_nifti),
    "nii of floats": Kind(".nii", lambda: nifti(np.float32), judge_nifti),
    "nii.gz": Kind(".nii.gz", lambda: gzip.compress(nifti(slope=2), 1, mtime=0), judge_nifti, (inside_gzip,) * 6),
    "npy": Kind(".npy", lambda: npy("<i2"), lambda path: np.load(path, allow_pickle=False)),
    "npy of floats": Kind(".npy", lambda: npy(">f8"), lambda path: np.load(path, allow_pickle=False)),
    "png": Kind(".png", lambda: picture(SMOOTH, "PNG"), judge_picture, (sound_checksum,) * 6),
    "png of 16 bits": Kind(".png", lambda: picture(ROUGH.astype("u2"), "PNG"), judge_picture, (sound_checksum,) * 6),
    "tiff": Kind(".tif", lambda: tiff(ROUGH.astype("u2")), judge_tiff),
    "tiff, deflated": Kind(".tif", lambda: tiff(ROUGH.astype("f4"), compression="zlib"), judge_tiff),
    "tiff of Pillow": Kind(".tif", lambda: picture(SMOOTH, "TIFF"), judge_tiff),
    "jpeg": Kind(".jpg", lambda: picture(SMOOTH, "JPEG"), judge_picture),
    "dicom": Kind(".dcm", dicom, judge_dicom),
    "dicom, run lengths": Kind(".dcm", lambda: dicom(lambda d: d.compress(RLELossless)), judge_dicom),
    "dicom, jpeg": Kind(".dcm", lambda: dicom(as_jpeg), judge_dicom),
}


def outcome(kind: Kind, path: Path) -> str:
    """What the reader made of a file, checked against the judge: "refused" or "read"."""
    start = time.process_time()
    try:
        values = read(path).pixels.numpy().reshape(-1)
    except InputError as error:
        message = str(error)
        assert str(path) in message
        assert len(message) - len(str(path)) < LONGEST
        assert "\n" not in message
        assert ". " not in message
        return "refused"
    finally:
        assert time.process_time() - start < SECONDS
    expected = kind.judge(path)
    expected = np.array(expected, np.complex64 if expected.dtype.kind == "c" else np.float32).reshape(-1)
    assert np.array_equal(values, expected), "other numbers than the judge's"
    return "read"


@pytest.mark.filterwarnings("ignore")  # as users have them: only readers refuse, no warnings
@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_are_refused_or_read_as_the_judge_reads_them(name, tmp_path):
    kind = KINDS[name]
    sound, path = kind.make(), tmp_path / f"a{kind.suffix}"
    peak, outcomes = peak_memory_mb(), []
    for number in range(budget(1 / len(KINDS))):
        damage, raw = mutate(sound, number, BYTES + kind.further)
        path.write_bytes(raw)
        try:
            with warnings.catch_warnings(action="ignore"):
                outcomes.append(outcome(kind, path))
        except Exception as error:
            raise AssertionError(f"{name}, mutation {number} ({damage}): {type(error).__name__}: {error}") from error
    assert outcomes[0] == "read"
    assert len(outcomes) < 10 or "refused" in outcomes
    assert peak_memory_mb() - peak < MEGABYTES
