"""Arrays of MATLAB: versions 5 and 7.3, their axes in MATLAB's order, and which of several is k-space."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalOperand=false

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from ismrmrd_files import complex_noise

from scorefield import raw
from scorefield.errors import InputError

SHAPE = (2, 10, 12, 3)
AXES = ("coil", "readout", "line", "slice")
CHOICE = raw.Choice(slice=1, axes=AXES)
KSPACE = complex_noise(*SHAPE).astype(np.complex64)
KSPACE[:, 5, 6] = 50 + 3j
OTHERS = {"note": "words", "level": 0.5, "struct": {"a": 1}, "flags": np.array([True, False]), "te": np.arange(6.0)}
COUNTER = Path("/proc/self/io")  # Linux: what this process has read


def version_5(path: Path, arrays: dict, **options) -> Path:
    scipy.io.savemat(path, arrays, **options)
    return path


def version_7(path: Path, arrays: dict, **options) -> Path:
    """As ``save -v7.3`` writes it: a block of text first, axes from last to first, complex numbers as pairs."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if isinstance(array, np.ndarray) and array.dtype.kind == "c":
                part = array.real.dtype
                pairs = np.zeros(array.shape[::-1], [("real", part), ("imag", part)])
                pairs["real"], pairs["imag"] = array.real.T, array.imag.T
                file.create_dataset(name, data=pairs, **options)
            elif isinstance(array, np.ndarray):
                file[name] = array.T
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


WRITERS = {
    "version 5": (version_5, {}),
    "version 7, compressed": (version_5, {"do_compression": True}),
    "version 7.3": (version_7, {}),
    "version 7.3, compressed": (version_7, {"compression": "gzip", "chunks": True}),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_the_chosen_slice_is_read(name, dtype, tmp_path):
    write, options = WRITERS[name]
    path = write(tmp_path / "a.mat", {**OTHERS, "kdata": KSPACE.astype(dtype)}, **options)
    contents = raw.inspect(path, CHOICE)
    assert (contents.coils, contents.slices, contents.rows["variable"]) == (2, 3, "kdata")
    np.testing.assert_array_equal(raw.acquire(path, CHOICE).kspace, KSPACE[..., 1])


def test_whole_numbers_in_doubles_are_stored_shorter_and_read_alike(tmp_path):
    """MATLAB stores doubles that are whole numbers as integers; scipy does not, so the type is changed here."""
    array = np.ones(SHAPE, np.complex128)
    array[:, 5, 6] = 70 - 3j
    path = version_5(tmp_path / "a.mat", {"k": array})
    raw_bytes = path.read_bytes()
    count = 8 * array.size
    tag = np.array([9, count], "<u4").tobytes()
    first = raw_bytes.index(tag)
    real, imaginary = (part.astype("i1").tobytes(order="F") for part in (array.real, array.imag))
    short = np.array([1, array.size], "<u4").tobytes()
    body = raw_bytes[136:first] + short + real + short + imaginary
    path.write_bytes(raw_bytes[:128] + np.array([14, len(body)], "<u4").tobytes() + body)
    np.testing.assert_array_equal(scipy.io.loadmat(path)["k"], array)
    np.testing.assert_array_equal(raw.acquire(path, CHOICE).kspace, array[..., 1])


@pytest.mark.parametrize("write", [version_5, version_7])
def test_of_several_arrays_one_is_asked_for(write, tmp_path):
    path = write(tmp_path / "a.mat", {"k": KSPACE, "maps": KSPACE[..., 0]})
    refusal = raw.inspect(path, CHOICE).refusal
    assert "--variable" in refusal
    assert "k (2 x 10 x 12 x 3), maps (2 x 10 x 12)" in refusal
    with pytest.raises(InputError, match="--variable"):
        raw.acquire(path, CHOICE)
    chosen = raw.Choice(slice=2, axes=AXES, variable="k")
    np.testing.assert_array_equal(raw.acquire(path, chosen).kspace, KSPACE[..., 2])
    with pytest.raises(InputError, match="no array 'x'"):
        raw.acquire(path, raw.Choice(variable="x"))
    assert "no array of numbers" in raw.inspect(version_5(tmp_path / "b.mat", {"note": "words"})).refusal


@pytest.mark.parametrize("write", [version_5, version_7])
def test_names_of_axes_are_asked_for(write, tmp_path):
    path = write(tmp_path / "a.mat", {"k": KSPACE})
    assert "add --axes" in raw.inspect(path).refusal
    with pytest.raises(InputError, match="add --axes"):
        raw.acquire(path)


@pytest.mark.skipif(not COUNTER.exists(), reason="only Linux counts the bytes that a process reads")
def test_the_headers_of_a_large_file_are_read_alone(tmp_path):
    """2 GB, sparse: the sizes in the headers are those of a small array, made larger."""
    path = version_5(tmp_path / "a.mat", {"k": np.zeros((2, 2, 2), np.complex64)})
    raw_bytes = bytearray(path.read_bytes())
    sizes, part = (16, 2048, 4096), 4 * 16 * 2048 * 4096
    at = raw_bytes.index(np.array([2, 2, 2], "<i4").tobytes())
    raw_bytes[at : at + 12] = np.array(sizes, "<i4").tobytes()
    first = raw_bytes.index(np.array([7, 32], "<u4").tobytes())
    raw_bytes[first : first + 8] = np.array([7, part], "<u4").tobytes()
    raw_bytes[132:136] = np.array(first + 2 * (8 + part) - 136, "<u4").tobytes()
    path.write_bytes(raw_bytes[: first + 8])
    with open(path, "r+b") as file:
        file.seek(first + 8 + part)
        file.write(np.array([7, part], "<u4").tobytes())
    os.truncate(path, first + 2 * (8 + part))
    choice = raw.Choice(axes=("coil", "readout", "line"))
    before = int(COUNTER.read_text().split()[1])
    assert raw.inspect(path, choice).coils == 16
    assert int(COUNTER.read_text().split()[1]) - before < 1_000_000
