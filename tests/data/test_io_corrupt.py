from __future__ import annotations

import gzip
import pickle

import nibabel as nib
import numpy as np
import PIL.Image
import pytest
import torch

from scorefield.data import Image, write
from scorefield.errors import InputError
from scorefield.noise import White
from scorefield.scans import ParallelBeam, Scan
from scorefield.scans.files import read

NAMES = ["a.nii", "a.nii.gz", "a.npy", "a.png", "a.tif", "a.jpg", "a.bmp", "a.dcm", "a.scan"]
CHECKED = ["a.nii.gz", "a.scan"]  # these formats carry a checksum over all the values


def values(result):
    return result.data if isinstance(result, Scan) else result.pixels


@pytest.fixture
def sound(tmp_path, write_dicom, oblique):
    """Writes a sound file of each kind."""

    def make(name):
        path = tmp_path / name
        pixels = torch.randn(1, 24, 20, generator=torch.Generator().manual_seed(1))
        if name.endswith(".dcm"):
            return write_dicom(path, oblique, 0, size=(24, 20))
        if name.endswith(".scan"):
            return ParallelBeam(pixels, torch.arange(24.0), size=(4, 4), noise=White(1)).save(path)
        return write(Image(pixels, affine=None), path)

    return make


@pytest.mark.parametrize("name", NAMES)
def test_files_cut_short_are_named(sound, name):
    path = sound(name)
    raw, whole = path.read_bytes(), values(read(path))
    messages = []
    for length in {0, 1, 20, 140, 400, len(raw) // 3, len(raw) // 2, len(raw) * 9 // 10, len(raw) - 1}:
        path.write_bytes(raw[:length])
        try:
            assert torch.equal(values(read(path)), whole), length  # only what follows the pixels was cut
        except InputError as error:
            messages.append(str(error))
    assert len(messages) >= 8 - (name == "a.jpg")
    for message in messages:
        assert str(path) in message
        assert "\n" not in message
        assert ". " not in message  # one sentence


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bytes_raise_nothing_but_input_errors(sound, name):
    path = sound(name)
    raw, whole = path.read_bytes(), values(read(path))
    generator = np.random.default_rng(0)
    places = np.unique(np.concatenate([generator.integers(0, len(raw), 80), np.arange(min(len(raw), 60))]))
    refused = 0
    for place in places:
        damaged = bytearray(raw)
        damaged[place] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        try:
            result = values(read(path))
            if name in CHECKED:
                assert torch.equal(result, whole), place
        except InputError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({"a": 1}), bytes(1000)])
def test_something_else_under_the_name_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"copy|save|export|convert"):
        read(tmp_path / name)


def test_a_tiff_that_claims_more_rows_than_it_holds(tmp_path):
    path = write(torch.randn(24, 20), tmp_path / "a.tif")
    raw = bytearray(path.read_bytes())
    entry = raw.index((257).to_bytes(2, "little"), 8)  # tag 257: ImageLength
    assert int.from_bytes(raw[entry + 8 : entry + 12], "little") == 24
    for rows, sound in [(24, True), (25, False), (2**22, False)]:
        raw[entry + 2 : entry + 12] = b"\x04\0\x01\0\0\0" + rows.to_bytes(4, "little")
        path.write_bytes(raw)
        if sound:
            assert read(path).spatial == (24, 20)
            continue
        with pytest.raises(InputError, match="fewer bytes"):
            read(path)


def test_the_cause_is_kept(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.nii.gz")
    assert isinstance(caught.value.__cause__, gzip.BadGzipFile)


def test_pickles_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    torch.save({"data": Bomb()}, tmp_path / "a.scan")
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    for name, message in [("a.npy", "pickle"), ("b.npy", "numpy.save"), ("a.scan", "Scan.save")]:
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)


@pytest.mark.parametrize("dtype", ["U3", "M8[s]", [("r", "u1"), ("g", "u1"), ("b", "u1")]])
def test_arrays_of_no_numbers(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((3, 4), dtype))
    with pytest.raises(InputError, match="not numbers"):
        read(tmp_path / "a.npy")


def test_color_nifti_is_refused(tmp_path):
    rgb = np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match="not numbers"):
        read(tmp_path / "a.nii")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite(tmp_path, bad):
    array = np.ones((4, 5, 6))
    array[1, 2, 3] = bad
    np.save(tmp_path / "a.npy", array)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    names = ["a.npy", "a.nii"]
    if bad < 1e300:
        PIL.Image.fromarray(array[1].astype(np.float32)).save(tmp_path / "a.tif")
        names.append("a.tif")
    for name in names:
        with pytest.raises(InputError, match=f"{name} holds 1 pixels that are NaN or infinite"):
            read(tmp_path / name)
