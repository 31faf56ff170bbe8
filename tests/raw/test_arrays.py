"""K-space in arrays: BART, NumPy, and the axes that users name."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalOperand=false

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ismrmrd_files import centered_fft, complex_noise

from scorefield import raw
from scorefield.data import Image, read_image, write
from scorefield.data.formats import cfl_layout
from scorefield.errors import InputError

COILS, SIZE, LINES = 3, 10, 12
PEAK = np.zeros((SIZE, LINES))
PEAK[SIZE // 2, LINES // 2] = 50
KSPACE = (complex_noise(COILS, SIZE, LINES) + PEAK).astype(np.complex64)
COUNTER = Path("/proc/self/io")  # Linux: what this process has read


def npy(array, path):
    np.save(path / "a.npy", array)
    return path / "a.npy"


def cfl(named: dict, path: Path) -> Path:
    """An array whose axes have BART's places: sizes by name, in the order of the array."""
    array, names = named["array"], named["names"]
    places = [cfl_layout.AXES.index(name) for name in names]
    full = np.transpose(array, np.argsort(places))
    shape = [array.shape[names.index(name)] if name in names else 1 for name in cfl_layout.AXES]
    cfl_layout.write(full.reshape(shape), path / "a.cfl")
    return path / "a.cfl"


@pytest.mark.parametrize(
    "order", [("coil", "readout", "line"), ("line", "coil", "readout"), ("readout", "line", "coil")]
)
def test_the_names_say_which_axis_is_which(order, tmp_path):
    array = np.moveaxis(KSPACE, (0, 1, 2), [order.index(name) for name in ("coil", "readout", "line")])
    path = npy(array, tmp_path)
    found = raw.acquire(path, raw.Choice(axes=order))
    np.testing.assert_array_equal(found.kspace, KSPACE)
    assert raw.inspect(path, raw.Choice(axes=order)).coils == COILS


@pytest.mark.parametrize("make", ["npy", "cfl"])
def test_slices_echoes_repetitions_and_averages(make, tmp_path):
    scales = np.arange(1, 25).reshape(2, 3, 2, 2)  # slice, echo, repetition, average
    array = np.multiply.outer(scales, KSPACE).astype(np.complex64)
    array[..., 1, :, :, :3] = 0  # the second average lacks three lines
    names = ["slice", "echo", "repetition", "average", "coil", "readout", "line"]
    choice = {"slice": 1, "echo": 2, "repetition": 0}
    if make == "npy":
        found = raw.acquire(npy(array, tmp_path), raw.Choice(**choice, axes=names))
    else:
        found = raw.acquire(cfl({"array": array, "names": names}, tmp_path), raw.Choice(**choice))
    np.testing.assert_allclose(found.kspace[..., 3:], KSPACE[..., 3:] * scales[1, 2, 0].mean(), rtol=1e-6)
    np.testing.assert_allclose(found.kspace[..., :3], KSPACE[..., :3] * scales[1, 2, 0, 0], rtol=1e-6)
    assert found.counts[0].tolist() == [1] * 3 + [2] * 9


@pytest.mark.parametrize("column", [0, 3, 9])
def test_a_volume_is_cut_across_the_readout(column, tmp_path):
    image = complex_noise(COILS, SIZE, 6, 8, seed=4) + 3
    names = ["coil", "readout", "line", "partition"]
    volume = centered_fft(image, (1, 2, 3))
    path = cfl({"array": volume, "names": names}, tmp_path)
    assert raw.inspect(path).slices == SIZE
    found = raw.acquire(path, raw.Choice(slice=column))
    np.testing.assert_allclose(found.kspace, centered_fft(image[:, column], (1, 2)), atol=1e-4)


@pytest.mark.parametrize(
    ("array", "axes", "words"),
    [
        (KSPACE, (), "have no names; add --axes"),
        (KSPACE, ("coil", "readout"), "2 names were given for 3 axes"),
        (KSPACE, ("coil", "line", "line"), "one of them twice"),
        (KSPACE, ("coil", "readout", "phase"), "'phase' is no name"),
        (np.abs(KSPACE), ("coil", "readout", "line"), "real"),
        (KSPACE[:, :1], ("coil", "readout", "line"), "single sample"),
    ],
)
def test_what_is_refused_is_refused_by_inspect_and_by_read(array, axes, words, tmp_path):
    path, choice = npy(array, tmp_path), raw.Choice(axes=axes)
    assert words in raw.inspect(path, choice).refusal
    with pytest.raises(InputError, match="cannot be reconstructed") as refusal:
        raw.acquire(path, choice)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.fft.ifftshift(KSPACE, axes=(1, 2)), "fftshift"),
        (complex_noise(COILS, SIZE, LINES), "no peak"),
        (np.where(KSPACE.max() == KSPACE, np.nan, KSPACE), "NaN"),
    ],
)
def test_images_and_shifted_k_space_are_refused(array, words, tmp_path):
    with pytest.raises(InputError, match=words):
        raw.acquire(npy(array, tmp_path), raw.Choice(axes=("coil", "readout", "line")))


def test_the_files_of_bart(shared):
    """Its image is the inverse transform of its k-space."""
    folder = shared / "reader-formats/bart"
    found = raw.acquire(folder / "ksp_cart_64_4coil.cfl")
    image = read_image(folder / "img_cart_64_4coil.cfl")
    precision = 1e-6 * float(found.kspace.abs().max())
    np.testing.assert_allclose(centered_fft(image.pixels.numpy(), (1, 2)), found.kspace, atol=precision)
    assert raw.read(folder / "ksp_cart_64_4coil.hdr").scan.spatial == (64, 64)
    for name, words in (("ksp_radial_64x24_4coil", "along a trajectory"), ("traj_radial_64x24", "a trajectory")):
        assert words in raw.inspect(folder / f"{name}.cfl").refusal
    with pytest.raises(InputError, match="it is an image"):
        raw.acquire(folder / "img_cart_64_4coil.cfl")


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 5, 7), (2, 5, 7, 4)])
def test_images_are_written_as_bart_reads_them(shape, tmp_path):
    """The first axis is the fastest, channels are coils; the header says the sizes."""
    pixels = torch.from_numpy(complex_noise(*shape).astype(np.complex64))
    path = write(Image(pixels), tmp_path / "a.cfl")
    depth = shape[3] if len(shape) == 4 else 1
    header = (tmp_path / "a.hdr").read_text().splitlines()
    assert header[:2] == ["# Dimensions", f"5 7 {depth} {shape[0]} {'1 ' * 12}"]
    numbers = np.fromfile(path, "<c8")
    assert numbers[0] == pixels.flatten()[0].item()
    assert numbers[1] == pixels[(0, 1, *[0] * (len(shape) - 2))].item()
    torch.testing.assert_close(read_image(path).pixels, pixels)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (None, "one of them is missing"),
        ("hello", "does not begin"),
        ("# Dimensions", "does not begin"),
        ("# Dimensions\n10 12 x", "up to 16 numbers"),
        ("# Dimensions\n10 12 1 4", "cut short"),
        ("# Dimensions\n10 12 1 2", "bytes where"),
        ("# Dimensions\n10 12 1 1 3", "'map'"),
    ],
)
def test_a_pair_that_does_not_fit_is_one_sentence(header, words, tmp_path):
    path = cfl({"array": KSPACE, "names": ["coil", "readout", "line"]}, tmp_path)
    path.with_suffix(".hdr").unlink()
    if header is not None:
        path.with_suffix(".hdr").write_text(header)
    for function in (raw.acquire, read_image):
        with pytest.raises(InputError) as refusal:
            function(path)
        assert words in str(refusal.value)


def sparse_npy(folder: Path) -> tuple[Path, raw.Choice]:
    path = folder / "a.npy"
    np.lib.format.open_memmap(path, "w+", np.complex64, (8, 1024, 1024, 32))
    return path, raw.Choice(axes=("coil", "readout", "line", "slice"))


def sparse_cfl(folder: Path) -> tuple[Path, raw.Choice]:
    (folder / "a.hdr").write_text("# Dimensions\n1024 1024 1 8 1 1 1 1 1 1 1 1 1 32 1 1 \n")
    (folder / "a.cfl").touch()
    os.truncate(folder / "a.cfl", 8 * 8 * 1024 * 1024 * 32)
    return folder / "a.cfl", raw.Choice()


@pytest.mark.skipif(not COUNTER.exists(), reason="only Linux counts the bytes that a process reads")
@pytest.mark.parametrize("make", [sparse_npy, sparse_cfl])
def test_the_headers_of_a_large_array_are_read_alone(make, tmp_path):
    """2 GB, sparse: at most one megabyte is read, and inspecting allocates no array."""
    path, choice = make(tmp_path)
    before = int(COUNTER.read_text().split()[1])
    assert raw.inspect(path, choice).slices == 32
    assert int(COUNTER.read_text().split()[1]) - before < 1_000_000
