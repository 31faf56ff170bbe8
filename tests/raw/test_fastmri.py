"""fastMRI files, with and without a header: their crop, their padding, and what of them is read."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalOperand=false

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from ismrmrd_files import PATIENT, File, centered_fft, complex_noise

from scorefield import raw
from scorefield.errors import InputError

SLICES, COILS, ROWS, LINES = 3, 2, 32, 20
COUNTER = Path("/proc/self/io")  # Linux: what this process has read


def volume() -> np.ndarray:
    """Blobs of different brightness in the middle of an oversampled field of view; lines at the edge are padding."""
    rows, columns = np.mgrid[:ROWS, :LINES]
    blob = np.exp(-((rows - 16) ** 2 + (columns - 10) ** 2) / 8)
    images = np.multiply.outer(np.arange(1, SLICES + 1), np.multiply.outer(np.array([1, 1j]), blob))
    kspace = centered_fft(images, (2, 3)) + 0.002 * complex_noise(SLICES, COILS, ROWS, LINES)
    kspace[..., :2] = kspace[..., -2:] = 0
    return kspace.astype(np.complex64)


def fastmri(folder: Path, *, header: File | None = None, crop: int | None = None, kspace=None, **options) -> Path:
    path = folder / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", data=volume() if kspace is None else kspace, **options)
        if header is not None:
            file.create_dataset("ismrmrd_header", data=header.xml.encode(), dtype=h5py.string_dtype())
        if crop is not None:
            file["reconstruction_rss"] = np.zeros((SLICES, crop, crop), np.float32)
        file.attrs.update(acquisition="AXT1", patient_id=PATIENT, max=1.0, norm=1.0)
    return path


HEADER = File(((ROWS, 16, 1), (320.0, 200.0, 5.0)), ((16, 16, 1), (160.0, 200.0, 5.0)))


@pytest.mark.parametrize(
    ("options", "width", "spacing"),
    [
        ({"header": HEADER}, 16, (10.0, 10.0)),
        ({"crop": 16}, 16, None),
        ({}, 32, None),
        ({"header": HEADER, "compression": "gzip", "chunks": (1, 1, ROWS, LINES)}, 16, (10.0, 10.0)),
    ],
)
def test_the_oversampling_is_that_of_the_header_or_of_the_reconstruction(tmp_path, options, width, spacing):
    """The field of view of the lines is 200 mm, on the 20 of the padded array."""
    path = fastmri(tmp_path, **options)
    contents = raw.inspect(path)
    assert (contents.slices, contents.coils, contents.grid) == (SLICES, COILS, (ROWS, LINES, 1))
    assert contents.rows["acquisition"] == "AXT1"
    found = raw.acquire(path, raw.Choice(slice=2))
    np.testing.assert_array_equal(found.kspace, volume()[2])
    assert found.width == width
    assert found.mask[0].all(0).nonzero().squeeze(1).tolist() == list(range(2, 18))
    preparation = raw.prepare(found)
    assert preparation.scan.spatial == (width, LINES)
    assert preparation.scan.spacing == spacing
    assert any("oversampled readout" in note for note in preparation.notes) == (width < ROWS)


def test_a_single_coil_and_one_file_of_each_slice(tmp_path):
    path = fastmri(tmp_path, kspace=volume()[:, 0])
    assert raw.inspect(path).coils == 1
    for number in range(SLICES):
        np.testing.assert_array_equal(raw.acquire(path, raw.Choice(slice=number)).kspace[0], volume()[number, 0])


def test_what_it_cannot_be_is_refused_by_inspect_and_by_read(tmp_path):
    radial = File(HEADER.encoded, HEADER.image, trajectory="radial")
    for options, words in (({"header": radial}, "radial"), ({"kspace": np.abs(volume())}, "complex")):
        path = fastmri(tmp_path, **options)
        assert words in raw.inspect(path).refusal
        with pytest.raises(InputError, match=words):
            raw.acquire(path)
    with pytest.raises(InputError, match="slice 3"):
        raw.acquire(fastmri(tmp_path), raw.Choice(slice=3))


def test_nothing_that_names_a_patient_is_carried_on(tmp_path):
    path = fastmri(tmp_path, header=HEADER)
    assert PATIENT not in repr(raw.inspect(path)) + repr(raw.acquire(path))


@pytest.mark.skipif(not COUNTER.exists(), reason="only Linux counts the bytes that a process reads")
def test_the_headers_of_a_large_file_are_read_alone_and_then_one_slice(tmp_path):
    """2 GB, sparse."""
    path = tmp_path / "big.h5"
    with h5py.File(path, "w", libver="latest") as file:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((4096, 8, 128, 64))
        h5py.h5d.create(file.id, b"kspace", h5py.h5t.py_create(np.dtype(np.complex64)), space, layout)
    assert path.stat().st_size > 2_000_000_000
    raw.inspect(path)
    before = int(COUNTER.read_text().split()[1])
    assert raw.inspect(path).slices == 4096
    assert int(COUNTER.read_text().split()[1]) - before < 1_000_000
    assert not raw.acquire(path, raw.Choice(slice=5)).mask.any()
    assert int(COUNTER.read_text().split()[1]) - before < 8 * 8 * 128 * 64 + 1_000_000
