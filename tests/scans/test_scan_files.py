"""Files of scans: every number survives, whole or not at all, and what is no scan of this version says so."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import safe_open, save_file

from scorefield import noise, operators
from scorefield.data import Frame, write
from scorefield.errors import InputError
from scorefield.scans import Cartesian, ParallelBeam, Scan
from scorefield.scans.layout import FILE

G = torch.Generator().manual_seed(0)
ANGLES = torch.linspace(0, 3, 5, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_every_dtype_survives_exactly(tmp_path, dtype):
    data = torch.randn(1, 9, 5, dtype=dtype, generator=G).mT
    scan = replace(ParallelBeam.example(), data=data, angles=ANGLES, frame=Frame((0.1 + 0.2, 0.3)))
    again = Scan.load(scan.save(tmp_path / "a.scan"))
    assert again.data.dtype == dtype
    assert torch.equal(again.data, data)
    assert again.spacing == (0.1 + 0.2, 0.3)
    assert os.listdir(tmp_path) == ["a.scan"]


def test_conjugate_views_and_shared_memory_are_saved(tmp_path):
    scan = Cartesian.example()
    coils = scan.coils.conj()
    scan = replace(scan, data=scan.data.conj(), coils=coils)
    again = Scan.load(scan.save(tmp_path / "a.scan"))
    assert torch.equal(again.data, scan.data.resolve_conj())
    assert torch.equal(again.coils, coils.resolve_conj())
    angles = torch.rand(10, dtype=torch.float64)
    shared = replace(ParallelBeam.example(), angles=angles[::2], noise=noise.Weighted(angles[1:].reshape(1, 1, 9)))
    again = Scan.load(shared.save(tmp_path / "b.scan"))
    assert torch.equal(again.angles, angles[::2])
    assert torch.equal(again.noise.std, angles[1:].reshape(1, 1, 9))


def test_a_loaded_scan_is_named_in_errors(tmp_path):
    path = Cartesian.example().save(tmp_path / "a.scan")
    assert Scan.load(path).frame.source == str(path)


def test_scans_have_one_suffix_and_images_another(tmp_path):
    scan = Cartesian.example()
    with pytest.raises(InputError, match=r"ending in \.scan"):
        scan.save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="no scan"):
        Scan.load(tmp_path / "a.scan")
    write(torch.ones(scan.spatial), tmp_path / "a.npy", like=scan)


def test_a_noise_of_the_users_own_is_not_saved(tmp_path):
    class Own(noise.White):
        """Not exported."""

    with pytest.raises(InputError, match="cannot be saved"):
        replace(Cartesian.example(), noise=Own(0.1)).save(tmp_path / "a.scan")


def test_a_failed_save_leaves_the_old_scan(tmp_path, monkeypatch):
    import safetensors.torch

    scan = Cartesian.example()
    path = scan.save(tmp_path / "a.scan")
    old = path.read_bytes()

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="disk full"):
        scan.save(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.scan"]


def rewritten(path, change, *, honest=True):
    """The scan at ``path`` with its record changed, as another program might; not honest is to leave the checksum."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors, record = FILE.read(path)
    FILE.write(path, tensors, record | change)
    if not honest:
        text = json.dumps(json.loads(metadata["scorefield"]) | change)
        save_file(stored, path, metadata=metadata | {"scorefield": text})


def test_foreign_newer_and_altered_scans_are_refused(tmp_path):
    scan = Cartesian.example()
    save_file({"data": torch.ones(3)}, tmp_path / "foreign.scan")
    rewritten(scan.save(tmp_path / "newer.scan"), {"version": 3})
    rewritten(scan.save(tmp_path / "altered.scan"), {"fields": {"real": True}}, honest=False)
    rewritten(scan.save(tmp_path / "kind.scan"), {"kind": "Spiral"})
    rewritten(scan.save(tmp_path / "law.scan"), {"noise": {"class": "Pink", "fields": {}}})
    for name, message in [
        ("foreign", "not a scan of scorefield"),
        ("newer", "newer version of scorefield.*layout 3.*up to 2; update scorefield"),
        ("altered", "changed or damaged"),
        ("kind", "kind Spiral.*Cartesian"),
        ("law", "unknown law Pink"),
    ]:
        with pytest.raises(InputError, match=message):
            Scan.load(tmp_path / f"{name}.scan")


# -- scans of version 0.1 ------------------------------------------------------------------------------------


def version_1(path, tensors, geometry, **record):
    """A file as version 0.1 wrote it."""
    plain = {"version": 1, "geometry": geometry, "noise_std": 0.5, "spacing": None, "unit": "a.u.", "affine": None}
    return FILE.write(path, tensors, plain | record)


BEAM = {"kind": "parallel_beam", "shape": [1, 12, 12], "detectors": 19, "detector_spacing": 1.5, "pixel_spacing": 2.0}
SINOGRAM = {"data": torch.rand(1, 5, 19, generator=G), "arrays.angles": ANGLES}


def test_the_operator_of_an_old_scan_is_the_one_it_had(tmp_path):
    scan = Scan.load(version_1(tmp_path / "a.scan", SINOGRAM, BEAM | {"center": [4.5, 6.0]}))
    assert isinstance(scan, ParallelBeam)
    assert scan.noise.std == 0.5
    x = torch.rand(1, 1, 12, 12, generator=G)
    expected = operators.parallel_beam(
        (1, 12, 12), ANGLES, 19, detector_spacing=1.5, pixel_spacing=2.0, center=(4.5, 6.0)
    )
    assert torch.equal(scan.operator()(x), expected(x))
    assert Scan.load(scan.save(tmp_path / "b.scan")).center == (4.5, 6.0)


@pytest.mark.parametrize(
    ("record", "spacing", "placed"),
    [
        ({}, (2.0, 2.0), False),
        ({"spacing": [2.0, 2.0]}, (2.0, 2.0), False),
        ({"spacing": [3.0, 1.0]}, (2.0, 2.0), False),
        ({"affine": np.diag([2.0, 2.0, 5.0, 1.0]).tolist()}, (2.0, 2.0), True),
        ({"affine": np.eye(4).tolist(), "spacing": [2.0, 2.0]}, (2.0, 2.0), False),
    ],
)
def test_the_pixels_of_an_old_scan_are_those_of_its_operator(tmp_path, record, spacing, placed):
    scan = Scan.load(version_1(tmp_path / "a.scan", SINOGRAM, BEAM, **record))
    assert scan.spacing == spacing
    assert (scan.affine is not None) == placed


def test_an_old_scan_without_a_place_has_none(tmp_path):
    assert Scan.load(version_1(tmp_path / "a.scan", SINOGRAM, BEAM | {"pixel_spacing": 1.0})).spacing is None


def test_old_k_space_may_be_real_and_its_mask_a_line(tmp_path):
    mask = torch.tensor([True, False, True, True]).reshape(1, 1, 4)
    tensors = {
        "data": torch.ones(2, 9),
        "arrays.mask": mask,
        "arrays.coils": torch.ones(2, 3, 4, dtype=torch.complex64),
    }
    scan = Scan.load(version_1(tmp_path / "a.scan", tensors, {"kind": "mri", "shape": [1, 3, 4]}))
    assert scan.shape == (1, 3, 4)
    assert scan.operator().shape_out == (2, 9)


def test_an_old_scan_of_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown kind 'spiral'"):
        Scan.load(version_1(tmp_path / "a.scan", SINOGRAM, BEAM | {"kind": "spiral"}))
