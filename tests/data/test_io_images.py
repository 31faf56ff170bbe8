from __future__ import annotations

import pickle
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

import scorefield.data.sources as sources
from scorefield.data import Image, Images, Scan, read, write
from scorefield.errors import InputError


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
    Scan(torch.ones(2, 3), {"kind": "mri", "shape": [1, 2, 3]}, noise_std=1).save(tmp_path / "a.scan")
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
