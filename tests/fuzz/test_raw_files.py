"""Damaged raw files: each is refused in one sentence, or gives k-space of finite numbers, without a hang or a crash."""

# pyright: basic

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from ismrmrd_files import File, complex_noise, noise_readouts
from mutations import budget, mutate

from scorefield import raw
from scorefield.data.formats import cfl_layout
from scorefield.errors import InputError
from scorefield.machine import peak_memory_mb

LONGEST = 500  # characters of a sentence, with the name of the file
SECONDS = 5  # of the processor
MEGABYTES = 250  # that all readings of one kind may add to the peak of the process


@dataclass(frozen=True)
class Kind:
    """A kind of raw file.

    Args:
        make: writes a sound one into a folder.
        damaged: the file of it that is damaged; None is the one that is read.
        choice: how it is read.
    """

    make: Callable[[Path], Path]
    damaged: Callable[[Path], Path] = lambda path: path
    choice: raw.Choice = field(default_factory=raw.Choice)


def ismrmrd(folder: Path) -> Path:
    file = File().add(complex_noise(2, 16, 12))
    file.readouts[:0] = noise_readouts(complex_noise(2, 40), 2)
    return file.write(folder / "a.h5")


def kspace() -> np.ndarray:
    array = complex_noise(2, 16, 12)
    array[:, 8, 6] = 100
    return array.astype(np.complex64)


def npy(folder: Path) -> Path:
    np.save(folder / "a.npy", kspace())
    return folder / "a.npy"


def cfl(folder: Path) -> Path:
    cfl_layout.write(np.moveaxis(kspace(), 0, -1)[:, :, None], folder / "a.cfl")
    return folder / "a.cfl"


def fastmri(folder: Path) -> Path:
    header = File(((16, 12, 1), (320.0, 240.0, 5.0)), ((8, 12, 1), (160.0, 240.0, 5.0)))
    with h5py.File(folder / "a.h5", "w") as file:
        file["kspace"] = kspace()[None]
        file.create_dataset("ismrmrd_header", data=header.xml.encode(), dtype=h5py.string_dtype())
    return folder / "a.h5"


def matlab(folder: Path) -> Path:
    scipy.io.savemat(folder / "a.mat", {"te": np.arange(3.0), "k": kspace()})
    return folder / "a.mat"


def matlab_compressed(folder: Path) -> Path:
    scipy.io.savemat(folder / "a.mat", {"te": np.arange(3.0), "k": kspace()}, do_compression=True)
    return folder / "a.mat"


def matlab_7(folder: Path) -> Path:
    with h5py.File(folder / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("k", data=kspace().T, compression="gzip", chunks=(6, 16, 2))
    with open(folder / "a.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    return folder / "a.mat"


NAMED = raw.Choice(axes=("coil", "readout", "line"))
KINDS = {
    "ISMRMRD": Kind(ismrmrd),
    "NumPy": Kind(npy, choice=NAMED),
    "fastMRI": Kind(fastmri),
    "MATLAB 5": Kind(matlab, choice=NAMED),
    "MATLAB 7": Kind(matlab_compressed, choice=NAMED),
    "MATLAB 7.3": Kind(matlab_7, choice=NAMED),
    "BART": Kind(cfl),
    "BART's header": Kind(cfl, lambda path: path.with_suffix(".hdr")),
}


def check_sentence(error: InputError, path: Path) -> None:
    message = str(error)
    assert path.stem in message
    assert len(message) - len(str(path)) < LONGEST
    assert "\n" not in message


def outcome(path: Path, choice: raw.Choice) -> str:
    """What became of a file: "refused" or "read"; what inspect refuses, read refuses."""
    start = time.process_time()
    refusal = ""
    try:
        refusal = raw.inspect(path, choice).refusal
    except InputError as error:
        check_sentence(error, path)
        refusal = str(error)
    try:
        found = raw.acquire(path, choice)
        assert not refusal, refusal
        assert bool(found.kspace.isfinite().all())
        assert found.kspace.shape[1:] == found.counts.shape
    except InputError as error:
        check_sentence(error, path)
        return "refused"
    finally:
        assert time.process_time() - start < SECONDS
    return "read"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_damaged_raw_files_are_refused_or_read(name, tmp_path):
    kind = KINDS[name]
    path = kind.make(tmp_path)
    place = kind.damaged(path)
    sound = place.read_bytes()
    assert outcome(path, kind.choice) == "read"
    peak, outcomes = peak_memory_mb(), []
    for number in range(1, budget(1 / len(KINDS))):
        damage, damaged = mutate(sound, number)
        place.write_bytes(damaged)
        try:
            with warnings.catch_warnings(action="ignore"):
                outcomes.append(outcome(path, kind.choice))
        except Exception as error:
            raise AssertionError(f"mutation {number} ({damage}): {type(error).__name__}: {error}") from error
    assert {"read", "refused"} >= set(outcomes)
    assert "refused" in outcomes
    assert peak_memory_mb() - peak < MEGABYTES


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"hello", bytes(4096)])
@pytest.mark.parametrize("suffix", [".h5", ".mrd", ".cfl", ".npy", ".hdr", ".mat"])
def test_an_empty_or_foreign_file_is_one_sentence(content, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    for function in (raw.inspect, raw.acquire):
        with pytest.raises(InputError) as refusal:
            function(path)
        check_sentence(refusal.value, path)
