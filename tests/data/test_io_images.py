# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
import tracemalloc

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch

import scorefield.data.sources as sources
from scorefield.data import Image, Images, Normalized, write
from scorefield.errors import InputError
from scorefield.lessons.crops import Crops
from scorefield.lessons.pool import Pool
from scorefield.scans import Cartesian, Scan
from scorefield.scans.files import read
from scorefield.units import intensity_of


@pytest.fixture
def folder(tmp_path):
    """Ten 2-D files and files of no format."""
    for k in range(10):
        write(torch.full((3, 4), float(k)), tmp_path / f"slice{k}.npy")
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / ".hidden.npy").write_text("nothing")
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    """The paths read, in order."""
    seen = []
    read_file = sources.File.read
    monkeypatch.setattr(sources.File, "read", lambda self: (seen.append(self.path.name), read_file(self))[1])
    return seen


def firsts(images):
    return [float(image.pixels.flatten()[0]) for image in images]


def test_folders_globs_and_lists_are_images(folder):
    for paths in (
        folder,
        str(folder),
        folder / "*.npy",
        [folder / f"slice{k}.npy" for k in range(10)],
        [folder],
    ):
        images = read(paths)
        assert isinstance(images, Images)
        assert firsts(images) == list(range(10))
        assert images[-1].source.endswith("slice9.npy")
    with pytest.raises(IndexError):
        images[10]


def test_names_are_in_natural_order(folder):
    write(torch.full((3, 4), 10.0), folder / "slice10.npy")
    assert firsts(read(folder)) == list(range(11))


def test_a_list_keeps_its_order_and_may_hold_one(folder):
    images = read([folder / "slice7.npy", folder / "slice[0-2].npy"])
    assert firsts(images) == [7, 0, 1, 2]
    assert isinstance(read([folder / "slice7.npy"]), Images)
    assert isinstance(read(folder / "slice7*"), Image)
    (folder / "slice7.npy").rename(folder / "slice[7].npy")
    assert firsts([read(folder / "slice[7].npy")]) == [7]  # a file of that very name comes before a pattern


def test_nothing_is_read_before_it_is_asked_for(folder, reads):
    images = Images(folder)
    assert len(images) == 10
    assert reads == []
    images[3], images[3], images[4], images[3]
    assert reads == ["slice3.npy", "slice4.npy"]


def test_the_cache_has_a_size(folder, reads):
    images = Images(folder, cache_bytes=2 * 3 * 4 * 4)
    for k in (0, 1, 0, 2, 0, 1):
        images[k]
    assert reads == [f"slice{k}.npy" for k in (0, 1, 2, 1)]  # 2 displaced 1, the least recently used
    reads.clear()
    images = Images(folder, cache_bytes=0)
    images[0], images[0], images[1], images[0]
    assert reads == ["slice0.npy", "slice1.npy", "slice0.npy"]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("suffix", [".npy", ".nii.gz"])
def test_volumes_are_cut_along_an_axis(tmp_path, suffix, axis, reads):
    volumes = [torch.randn(1, 3, 4, 5), torch.randn(2, 6, 4, 2)]
    for k, volume in enumerate(volumes):
        write(volume, tmp_path / f"{k}{suffix}")
    write(torch.ones(7, 8), tmp_path / "flat.npy")
    images = Images([tmp_path / f"{k}{suffix}" for k in range(2)] + [tmp_path / "flat.npy"], axis=axis)
    assert reads == []
    expected = [v.select(axis if axis < 0 else axis + 1, k) for v in volumes for k in range(v.shape[1:][axis])]
    assert len(images) == len(expected) + 1
    for image, slice in zip(images, [*expected, torch.ones(1, 7, 8)], strict=True):
        assert torch.equal(image.pixels, slice)
    assert len(reads) == 3


def test_thin_volumes_are_one_item_along_any_axis(tmp_path):
    np.save(tmp_path / "thin.npy", np.zeros((4, 1, 6)))
    for axis in range(3):
        images = Images(tmp_path / "thin.npy", axis=axis)
        assert [image.spatial for image in images] == [(4, 6)]


def test_workers_can_have_a_copy(folder):
    images = Images(folder)
    images[0]
    assert firsts(pickle.loads(pickle.dumps(images))) == list(range(10))


def test_a_damaged_file_says_so_when_it_is_read(folder):
    (folder / "slice5.npy").write_bytes(b"damage")
    images = Images(folder)
    assert firsts([images[4]]) == [4]
    with pytest.raises(InputError, match=r"slice5\.npy"):
        images[5]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("slice11.npy", r"no file or folder .*slice11\.npy \(did you mean slice1\.npy\?\); check"),
        ("nowhere/slice.npy", r"no file or folder .*; check the name"),
        ("*.png", "matches no file"),
        ("notes.txt", "no known suffix"),
        ("n*.txt", r"holds no readable image; the known suffixes are \.nii"),
        ("empty", "holds no readable image"),
    ],
)
def test_what_is_not_there_is_named(folder, name, message):
    (folder / "empty").mkdir()
    for path in (folder / name, [folder / name]):
        with pytest.raises(InputError, match=message):
            read(path)


def test_bad_arguments(folder):
    with pytest.raises(InputError, match="axis 3"):
        Images(folder, axis=3)
    with pytest.raises(InputError, match="at least one path"):
        Images([])


def test_scans_are_read_by_the_same_verb(tmp_path):
    Cartesian.example().save(tmp_path / "a.scan")
    assert isinstance(read(tmp_path / "a.scan"), Scan)


def test_importing_stays_light():
    heavy = ["nibabel", "pydicom", "PIL", "scipy", "skimage"]
    code = f"import sys, scorefield.data; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("name", ["someones_anatomy.nii.gz", "S0_10slices.nii.gz", "t1_coronal_slice.npy"])
def test_real_small_files(shared, name):
    path = shared / "mri-small-nibabel-dipy" / name
    image = read(path)
    if name.endswith(".npy"):
        assert np.array_equal(image.pixels[0], np.load(path).astype(np.float32))
        return
    expected = nib.load(path)
    stored = expected.get_fdata(dtype=np.float32)
    assert np.array_equal(image.pixels[0], stored.reshape(stored.shape[:3]))  # one file is a series of one volume
    assert np.allclose(image.affine, expected.affine)
    assert image.spacing == pytest.approx(expected.header.get_zooms()[:3], rel=1e-3)


def test_real_volume_round_trip(shared, tmp_path):
    path = shared / "ct-torso-totalseg" / "example_ct.nii.gz"
    image = read(path)
    assert np.array_equal(image.pixels[0], nib.load(path).get_fdata(dtype=np.float32))
    again = read(write(image.pixels, tmp_path / "again.nii", like=image))
    assert torch.equal(again.pixels, image.pixels)
    assert np.allclose(again.affine, image.affine, atol=1e-4)


def test_real_projections(shared):
    import tifffile

    images = read(shared / "ct-projections-savu" / "tiffs")
    assert len(images) == 91
    assert np.array_equal(images[90].pixels[0], tifffile.imread(images[90].source))


# --- slices of volumes larger than memory


def randn(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def write_series(folder, affine, write_dicom, count=5):
    for k in range(count):
        write_dicom(folder / f"{(3 * k) % 7}.dcm", affine, k)  # names out of order
    return folder


def write_scaled(path, affine):
    """16-bit, big-endian, slope and intercept."""
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    header["scl_slope"], header["scl_inter"] = 0.3, -7
    stored = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    raw = bytearray(nib.Nifti1Image(stored, affine, header).to_bytes())
    raw[112:120] = np.array([0.3, -7], ">f4").tobytes()
    path.write_bytes(gzip.compress(bytes(raw)) if path.suffix == ".gz" else bytes(raw))
    return path


@pytest.fixture(
    params=[
        *(
            f"{kind}{suffix}"
            for kind in ("plain", "channels", "complex")
            for suffix in (".npy", ".nii", ".nii.gz", ".hdr")
        ),
        *("scaled.nii", "scaled.nii.gz", "series", "fortran.npy"),
    ]
)
def volume(request, tmp_path, oblique, write_dicom):
    """One volume of each kind on disk."""
    path = tmp_path / request.param
    kind = request.param.partition(".")[0]
    if kind == "series":
        return write_series(path, oblique, write_dicom)
    if kind == "scaled":
        return write_scaled(path, oblique)
    if kind == "fortran":
        np.save(path, np.asfortranarray(randn(4, 5, 6).numpy().astype(">f8")))
        return path
    pixels = randn(
        2 if kind == "channels" else 1, 4, 5, 6, dtype=torch.complex64 if kind == "complex" else torch.float32
    )
    return write(Image(pixels, affine=oblique, unit="1/mm"), path)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_slices_read_alone_are_those_of_the_volume(volume, axis, monkeypatch):
    """To the bit, with geometry, unit and name, in any order; the volume itself is never read."""
    expected = list(Images(volume, axis=axis))
    alone = Images(volume, axis=axis, cache_bytes=0)
    monkeypatch.setattr(sources.File, "read", lambda self: pytest.fail("the volume was read"))
    monkeypatch.setattr(sources.Series, "read", lambda self: pytest.fail("the volume was read"))
    for k in [*range(len(alone)), 2, 0, 2, -1]:
        found, image = alone[k], expected[k]
        assert torch.equal(found.pixels, image.pixels)
        assert (found.spacing, found.unit, found.source) == (image.spacing, image.unit, image.source)
        assert np.array_equal(found.affine, image.affine) if image.affine is not None else found.affine is None
        assert found.pixels.is_contiguous()


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_headers_tell_what_will_be_read(volume, axis, reads):
    images = Images(volume, axis=axis)
    headers = [images.header(k) for k in range(len(images))]
    assert reads == []
    for header, image in zip(headers, images, strict=True):
        assert header.shape == tuple(image.pixels.shape)
        assert header.is_complex == image.pixels.is_complex()
        assert header.nbytes == image.pixels.numel() * image.pixels.element_size()


def test_only_volumes_too_large_are_read_in_slices(tmp_path, reads):
    for k, rows in enumerate((3, 30)):
        write(randn(1, rows, 4, 5, seed=k), tmp_path / f"{k}.npy")
    images = Images(tmp_path, axis=2, cache_bytes=4 * 30 * 4 * 5 - 1)
    for image in images:
        assert image.spatial in ((3, 4), (30, 4))
    assert reads == ["0.npy"]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("suffix", [".npy", ".nii", ".nii.gz"])
def test_the_whole_volume_is_never_in_memory(tmp_path, suffix, axis):
    """numpy's and nibabel's memory while slices of 8 MB of pixels are read; a slice takes 64 kB."""
    path = write(torch.arange(128.0).expand(1, 128, 128, 128).contiguous(), tmp_path / f"a{suffix}")

    def peak(cache_bytes):
        images = Images(path, axis=axis, cache_bytes=cache_bytes)
        images[0]
        images = Images(path, axis=axis, cache_bytes=cache_bytes)
        tracemalloc.start()
        for k in (5, 60, 127):
            images[k]
        images.amplitude(0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(2**28) > 8e6
    assert peak(2**20) < 1.2e6


def test_a_slice_across_a_series_reads_one_file(tmp_path, oblique, write_dicom, monkeypatch):
    write_series(tmp_path / "s", oblique, write_dicom)
    images, counts, dcmread = Images(tmp_path / "s", axis=2, cache_bytes=0), [], pydicom.dcmread

    def count(path, *, stop_before_pixels, **options):
        counts.append(stop_before_pixels)
        return dcmread(path, stop_before_pixels=stop_before_pixels, **options)

    monkeypatch.setattr(pydicom, "dcmread", count)
    images[1], images[3], images[1]
    assert counts == [True] * 5 + [False] * 3  # five headers once, then a file a slice


def test_open_volumes_are_not_shared_with_copies_and_forks(tmp_path, monkeypatch):
    path = write(randn(1, 3, 4, 5), tmp_path / "a.nii.gz")
    images, opened, slices = Images(path, axis=2, cache_bytes=0), [], sources.File.slices
    monkeypatch.setattr(sources.File, "slices", lambda self: (opened.append(os.getpid()), slices(self))[1])
    first = [image.pixels for image in images]
    again = [image.pixels for image in pickle.loads(pickle.dumps(images))]
    monkeypatch.setattr(os, "getpid", lambda: -1)  # what a fork sees: the same object, another process
    forked = [image.pixels for image in images]
    assert len(opened) == 3
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert torch.equal(torch.stack(first), torch.stack(forked))


@pytest.mark.parametrize("suffix", [".npy", ".nii", ".nii.gz"])
def test_a_volume_cut_short_says_so(tmp_path, suffix):
    path = write(randn(1, 8, 9, 50), tmp_path / f"a{suffix}")
    raw = path.read_bytes()
    images = Images(path, axis=2, cache_bytes=0)
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match=f"Cannot read .*a{suffix}"):
        images[49]


# --- amplitude


@pytest.mark.parametrize("cache_bytes", [0, 2**28])
@pytest.mark.parametrize("suffix", [".npy", ".nii.gz"])
def test_the_amplitude_is_one_for_a_volume(tmp_path, suffix, cache_bytes):
    """Of at most 16 slices, all of them; of more, 16 evenly spaced ones; never that of the slice."""
    few, many = randn(1, 5, 6, 16), randn(1, 5, 6, 40, seed=1)
    many[..., :10] *= 1e-3  # nearly empty slices at one end
    for name, pixels in (("few", few), ("many", many)):
        write(pixels, tmp_path / f"{name}{suffix}")
    images = Images([tmp_path / f"few{suffix}", tmp_path / f"many{suffix}"], axis=2, cache_bytes=cache_bytes)
    amplitudes = [images.amplitude(k) for k in range(len(images))]
    assert set(amplitudes[:16]) == {intensity_of(few)}
    middles = [int((k + 0.5) * 40 / 16) for k in range(16)]
    assert set(amplitudes[16:]) == {intensity_of(many[..., middles])}
    assert Normalized(images)[16].abs().max() < 0.01
    for axis in (None, 0, 1):
        other = Images(images.paths, axis=axis, cache_bytes=cache_bytes)
        assert (other.amplitude(0), other.amplitude(-1)) == (amplitudes[0], amplitudes[-1])


def test_amplitudes_of_whole_images(tmp_path, reads):
    """A 2-D image's is its own, a volume kept whole has the amplitude that its slices would have."""
    pixels = randn(1, 7, 6, 20, dtype=torch.complex64)
    paths = [write(pixels, tmp_path / "volume.npy"), write(3 * pixels[..., 0], tmp_path / "flat.npy")]
    images = Images(paths)
    middles = [int((k + 0.5) * 20 / 16) for k in range(16)]
    assert images.amplitude(0) == intensity_of(pixels[..., middles])
    assert images.amplitude(1) == intensity_of(3 * pixels[..., 0])
    reads.clear()
    assert images.amplitude(0) == images.amplitude(0)
    assert reads == []


def test_the_amplitude_is_that_of_the_object_however_small(tmp_path):
    sparse = torch.zeros(1, 30, 30, 16)
    path = write(sparse, tmp_path / "zero.npy")
    for axis in (None, 2):
        with pytest.raises(InputError, match=r"zero\.npy is zero everywhere"):
            Images(path, axis=axis).amplitude(0)
    sparse[0, 0, 0] = 1  # 1 of 900
    assert Images(write(sparse, tmp_path / "sparse.npy"), axis=2).amplitude(3) == 1


# --- images for training


def test_normalized_images_are_tensors_over_the_amplitude(tmp_path, reads):
    pixels = [randn(2, 5, 6, 4), 7 * randn(1, 8, 9, dtype=torch.complex64)]
    images = Images([write(p, tmp_path / f"{k}.nii.gz") for k, p in enumerate(pixels)], axis=2)
    normalized = Normalized(images)
    assert len(normalized) == 5
    assert normalized.shapes == [(2, 5, 6)] * 4 + [(1, 8, 9)]
    assert normalized.sizes == [4 * 60] * 4 + [8 * 72]
    assert reads == []
    for k in range(4):
        assert torch.equal(normalized[k], pixels[0][..., k] / intensity_of(pixels[0]))
    assert torch.equal(normalized[4], pixels[1] / intensity_of(pixels[1]))
    assert [item.dtype for item in normalized] == [torch.float32] * 4 + [torch.complex64]
    assert all(item.is_contiguous() for item in normalized)
    assert torch.equal(pickle.loads(pickle.dumps(normalized))[2], normalized[2])


def test_crops_of_volumes_larger_than_memory(tmp_path):
    """From files to batches: the same whether slices are read alone or volumes whole, and wherever the run begins."""
    for k in range(3):
        write((k + 1) * randn(1, 8, 9, 10, seed=k), tmp_path / f"{k}.nii")

    def batches(cache_bytes, steps):
        images = Images(tmp_path, axis=2, cache_bytes=cache_bytes)
        crops = Crops(Pool(Normalized(images), memory=7 * 4 * 72), 5, 6)
        return [crops(s, torch.Generator().manual_seed(s)) for s in steps]

    run = torch.stack(batches(2**28, range(25)))
    assert torch.equal(torch.stack(batches(0, range(25))), run)
    assert torch.equal(torch.stack(batches(0, [24, 11])), run[[24, 11]])
    assert run.abs().amax() > 1  # the brightest hundredth


# --- split


@pytest.fixture
def subjects(tmp_path):
    """Seven volumes of three slices, slice j of volume k all 10 k + j."""
    for k in range(7):
        write((10 * k + torch.arange(3.0)).expand(1, 4, 5, 3).contiguous(), tmp_path / f"{k}.npy")
    return Images(tmp_path, axis=2)


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.3, 0.5, 0.99, 1.0])
def test_whole_volumes_are_held_out(subjects, fraction):
    kept, held = (firsts(part) for part in subjects.split(fraction, seed=1))
    assert sorted(kept + held) == firsts(subjects)
    assert kept == sorted(kept)  # in their order
    assert {v // 10 for v in kept}.isdisjoint(v // 10 for v in held)
    assert len(held) == 3 * min(max(round(7 * fraction), int(fraction > 0)), 6)
    more = firsts(subjects.split(min(1.0, fraction + 0.3), seed=1)[1])
    assert set(held) <= set(more)


def test_the_split_is_drawn_by_the_seed(subjects):
    drawn = {seed: tuple(firsts(subjects.split(0.3, seed=seed)[1])) for seed in range(20)}
    assert drawn[3] == tuple(firsts(subjects.split(0.3, seed=3)[1]))
    assert len(set(drawn.values())) > 5  # 21 pairs


def test_a_single_source_is_not_split(subjects, tmp_path):
    kept, held = Images([tmp_path / "3.npy", tmp_path / "3.npy"], axis=2).split(0.5)
    assert firsts(kept) == [30, 31, 32] * 2
    assert len(held) == 0
    assert list(held) == []
    with pytest.raises(InputError, match="between 0 and 1"):
        subjects.split(1.5)


def test_training_sees_the_attenuation_of_ct_in_hu(tmp_path):
    """Air is 0 and water the same in every image, as in the scan that the prior will reconstruct."""
    hounsfield = torch.full((1, 8, 8), -1000.0)
    hounsfield[0, 2:6, 2:6] = 0.0
    np.save(tmp_path / "ct.npy", hounsfield[0].numpy())
    (seen,) = Normalized(Images(tmp_path / "ct.npy", unit="HU"))
    torch.testing.assert_close(seen, 1 + hounsfield / 1000)
    with pytest.raises(InputError, match="--unit HU"):
        Normalized(Images(tmp_path / "ct.npy"))[0]
