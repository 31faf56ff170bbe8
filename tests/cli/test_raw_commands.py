"""The commands on raw files, as a user runs them, and what they read of a large file."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalOperand=false

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ismrmrd_files import PATIENT, File, centered_fft, complex_noise, noise_readouts

from scorefield import operators, raw
from scorefield.errors import InputError
from scorefield.nets import UNet
from scorefield.priors import Homogeneous, Network
from scorefield.reconstruction.results import load_record
from scorefield.scans.files import read
from scorefield.scans.scan import Scan
from scorefield.store import checkpoint

SIZE, COILS = 32, 8
COUNTER = Path("/proc/self/io")  # Linux: what this process has read


@pytest.fixture
def prior(tmp_path):
    torch.manual_seed(0)
    return checkpoint.save(
        Network(UNet(widths=(4,), blocks=1), Homogeneous()), tmp_path / "tiny", card=checkpoint.Card("tiny")
    )


@pytest.fixture
def measured(tmp_path):
    """Noise scan, 8 coils, oversampling, calibration lines, two slices that lie obliquely; the second has a disk."""
    grid = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    disk = ((grid**2).sum(0) < 80).astype(float)
    maps = operators.birdcage(COILS, (1, SIZE, SIZE)).numpy()
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0].T
    turn[2] = np.cross(turn[1], turn[0])
    file = File(((2 * SIZE, SIZE, 1), (512.0, 256.0, 4.0)), ((SIZE, SIZE, 1), (256.0, 256.0, 4.0)), directions=turn)
    file.readouts += noise_readouts(0.02 * complex_noise(COILS, 1000, seed=1), 5)
    for number in range(2):
        images = np.pad(maps * disk * number, ((0, 0), (SIZE // 2, SIZE // 2), (0, 0)))
        kspace = centered_fft(images, (1, 2)) + 0.02 * complex_noise(COILS, 2 * SIZE, SIZE, seed=number)
        here = {"slice": number}
        file.add(kspace, [n for n in range(0, SIZE, 2) if not 10 <= n < 22], counters=here)
        file.add(kspace, range(10, 22), flags=(21,), counters=here)
    return file.write(tmp_path / "meas.h5")


def test_from_the_raw_file_to_the_report(call, tmp_path, measured, prior):
    status, out, err = call("inspect", measured)
    assert status == 0, err
    for words in ("ISMRMRD HDF5", "slices          2", "5 readouts", "24 lines", "scorefield reconstruct", "--slice 1"):
        assert words in out
    assert json.loads(call("inspect", measured, "--json")[1])["coils"] == "8"
    run = tmp_path / "run"
    few = ("--draws", 2, "--steps", 2)
    status, out, err = call("reconstruct", measured, "--prior", prior, "--slice", 1, "--out", run, *few)
    assert status == 0, err
    assert "Noise from a noise scan of 1000 samples" in out
    assert "Readout oversampling removed: 64 samples became 32." in out
    assert "Coil maps from the central 12 x 12 samples of the calibration lines." in out
    record = load_record(run)
    assert record["scan"] == "meas.h5"
    assert record["preparation"][0].startswith("Noise from a noise scan")
    scan = Scan.load(run / "scan.scan")
    expected = raw.read(measured, raw.Choice(slice=1)).scan.affine
    assert expected is not None
    np.testing.assert_allclose(np.array(scan.affine), expected)
    assert call("report", run)[0] == 0
    for path in run.iterdir():
        assert PATIENT.encode() not in path.read_bytes()
    status, out, err = call("reconstruct", measured, "--prior", prior, "--out", tmp_path / "b", *few, "--json")
    assert status == 0, err
    assert json.loads(out)["draws"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("meas.h5", "--slice", 2), "slice 2"),
        (("meas.h5", "--echo", 1), "echo 1"),
        (("absent.h5",), "There is no file"),
        (("foreign.h5",), "ISMRMRD HDF5"),
        (("a.scan", "--slice", 0), "'slice' is for raw files"),
        (("meas.dat",), "siemens_to_ismrmrd"),
    ],
)
def test_what_is_not_there_is_one_sentence(call, tmp_path, measured, prior, arguments, words):
    (tmp_path / "foreign.h5").write_bytes(b"no raw file")
    (tmp_path / "meas.dat").write_bytes(bytes(20_000))
    (tmp_path / "a.scan").write_bytes(b"")
    status, _, err = call("reconstruct", tmp_path / arguments[0], *arguments[1:], "--prior", prior, "--out",
                          tmp_path / "run")  # fmt: skip
    assert status == 2
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_scan_of_another_program_names_the_reader(measured):
    for function in (Scan.load, read):
        with pytest.raises(InputError, match=r"sf\.raw\.read"):
            function(measured)


def bytes_read(action):
    """What a call reads, and its result."""
    before = int(COUNTER.read_text().split()[1])
    found = action()
    return int(COUNTER.read_text().split()[1]) - before, found


@pytest.mark.skipif(not COUNTER.exists(), reason="only Linux counts the bytes that a process reads")
def test_the_headers_of_a_large_file_are_read_alone(tmp_path, measured):
    """2 GB, sparse, with thousands of readouts: at most one megabyte is read."""
    file = File().add(complex_noise(2, 16, 12))
    for _ in range(8):
        file.readouts += file.readouts
    path = file.write(tmp_path / "long.h5")
    os.truncate(path, 2 << 30)
    raw.inspect(measured)  # what is imported is read too
    count, contents = bytes_read(lambda: raw.inspect(path))
    assert contents.coils == 2
    assert contents.remarks[0] == "The first 400 of 3072 readouts were looked at."
    assert 0 < count < 1_000_000
