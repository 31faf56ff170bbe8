from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import safe_open, save_file

from scorefield import operators
from scorefield.data import write
from scorefield.errors import InputError
from scorefield.operators import parallel_beam
from scorefield.scans.scan import Scan

G = torch.Generator().manual_seed(0)
ANGLES = torch.linspace(0, 3, 5, dtype=torch.float64)
BEAM = {"shape": [1, 6, 6], "detectors": 9, "detector_spacing": 1.5, "pixel_spacing": 2.0}
MASK = torch.rand(1, 6, 8, generator=G) < 0.5
COILS = torch.randn(3, 6, 8, dtype=torch.complex64, generator=G)


def kinds():
    """(name, geometry, arrays, the operator built by hand)."""
    parallel = operators.parallel_beam((1, 6, 6), ANGLES, 9, detector_spacing=1.5, pixel_spacing=2.0)
    fan = operators.fan_beam(
        (1, 6, 6),
        ANGLES,
        9,
        source_distance=30.0,
        detector_distance=20.0,
        detector_spacing=1.5,
        pixel_spacing=2.0,
    )
    distances = {"source_distance": 30.0, "detector_distance": 20.0}
    single, several = operators.mri(MASK), operators.mri(MASK, COILS)
    plane = {"shape": [1, 6, 8]}
    return [
        ("parallel_beam", BEAM, {"angles": ANGLES}, parallel),
        ("fan_beam", BEAM | distances, {"angles": ANGLES}, fan),
        ("mri", plane, {"mask": MASK}, single),
        ("mri", plane, {"mask": MASK, "coils": COILS}, several),
        ("mri_real", plane, {"mask": MASK, "coils": COILS}, several @ operators.RealToComplex((1, 6, 8))),
    ]


def scan_of(kind, geometry, arrays, operator, dtype=torch.float32):
    x = torch.randn(1, *operator.shape_in, generator=G)
    data = operator(x.to(torch.complex64) if kind == "mri" else x)[0]
    return x, Scan(
        data.to(dtype) if not data.is_complex() else data,
        {"kind": kind, **geometry},
        arrays=arrays,
        noise_std=0.5,
    )


@pytest.mark.parametrize(("kind", "geometry", "arrays", "operator"), kinds())
def test_a_saved_scan_builds_its_operator(tmp_path, kind, geometry, arrays, operator):
    x, scan = scan_of(kind, geometry, arrays, operator)
    again = Scan.load(scan.save(tmp_path / "a.scan"))
    built = again.operator()
    assert (built.shape_in, built.shape_out) == (operator.shape_in, operator.shape_out)
    x = x.to(torch.complex64) if kind == "mri" else x
    assert torch.equal(built(x), operator(x))
    measurement = again.measurement()
    assert torch.equal(measurement.y[0], scan.data)
    assert measurement.noise.std == 0.5
    assert measurement.residual(x).abs().max() == 0
    assert again.spatial == operator.shape_in[1:]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.complex64, torch.complex128])
def test_everything_survives_exactly(tmp_path, dtype, oblique):
    data = torch.randn(4, 5, dtype=dtype, generator=G)
    arrays = {
        "mask": MASK,
        "coils": COILS.conj(),
        "angles": ANGLES[::2],
        "counts": torch.tensor(7),
        "index": torch.arange(3),
    }
    geometry = {"kind": "mri", "shape": [1, 6, 8], "note": "café", "deep": {"a": [1, 2.5, None, True]}}
    scan = Scan(
        data.T,
        geometry,
        arrays=arrays,
        noise_std=1 / 3,
        spacing=(1.5, 0.75 + 1e-16),
        unit="µ/mm",
        affine=oblique,
    )
    path = scan.save(tmp_path / "a.scan")
    again = Scan.load(path)
    assert again.data.dtype == dtype
    assert torch.equal(again.data, data.T)
    assert again.arrays.keys() == arrays.keys()
    for name, values in arrays.items():
        assert torch.equal(again.arrays[name], values)
        assert again.arrays[name].dtype == values.dtype
    assert (again.geometry, again.noise_std, again.spacing, again.unit) == (
        geometry,
        1 / 3,
        (1.5, 0.75 + 1e-16),
        "µ/mm",
    )
    assert np.array_equal(again.affine, oblique)
    assert os.listdir(tmp_path) == ["a.scan"]


def test_no_geometry_is_no_geometry(tmp_path):
    scan = Scan(torch.ones(2), {"kind": "mri", "shape": [1, 6, 8]}, noise_std=1)
    again = Scan.load(scan.save(tmp_path / "a.scan"))
    assert (again.spacing, again.affine, again.arrays, again.unit) == (None, None, {}, "a.u.")


def test_numpy_numbers_are_numbers(tmp_path):
    scan = Scan(torch.ones(2), {"kind": "mri", "shape": [1, 6, 8]}, noise_std=np.float32(0.5))  # type: ignore[arg-type]
    assert Scan.load(scan.save(tmp_path / "a.scan")).noise_std == 0.5


def test_the_geometry_is_a_plain_copy():
    given = {"kind": "mri", "shape": (1, 6, 8)}
    scan = Scan(torch.ones(2), given, noise_std=1)
    given["shape"] = None
    assert scan.shape == (1, 6, 8)


def test_tensors_that_share_memory_are_saved(tmp_path):
    angles = torch.rand(10)
    scan = Scan(angles, {"kind": "mri", "shape": [1, 6, 8]}, arrays={"a": angles, "b": angles[2:]}, noise_std=1)
    again = Scan.load(scan.save(tmp_path / "a.scan"))
    assert torch.equal(again.arrays["b"], angles[2:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": torch.arange(3)}, "convert them to float or complex"),
        ({"data": torch.tensor([1.0, torch.nan])}, "data hold 1 values"),
        ({"arrays": {"angles": torch.tensor([torch.inf, torch.nan])}}, "angles hold 2 values"),
        ({"noise_std": 0.0}, "noise_std is 0.0"),
        ({"noise_std": float("nan")}, "noise_std is nan"),
        ({"geometry": {"shape": [1, 2, 2]}}, "no 'kind'; name one of parallel_beam"),
        ({"geometry": {"kind": "mri"}}, "needs 'shape'"),
        ({"geometry": {"kind": "mri", "shape": [1, 2.5]}}, "shape"),
        ({"geometry": {"kind": "mri", "shape": 5}}, "shape"),
        ({"geometry": {"kind": "mri", "shape": [1, 2, 2], "x": np.ones(2)}}, "not plain JSON"),
        ({"geometry": {"kind": "mri", "shape": [1, 2, 2], "x": float("nan")}}, "not plain JSON"),
        ({"spacing": (1.0,)}, "2 axes"),
        ({"affine": np.eye(3)}, "4x4"),
    ],
)
def test_what_is_no_scan_is_refused(changes, message):
    fields = {
        "data": torch.ones(3),
        "geometry": {"kind": "mri", "shape": [1, 2, 2]},
        "noise_std": 1.0,
    } | changes
    with pytest.raises(InputError, match=message):
        Scan(**fields)


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"kind": "paralel_beam", "shape": [1, 6, 6]}, "did you mean 'parallel_beam'"),
        ({"kind": "parallel_beam", "shape": [1, 6, 6]}, "needs 'angles' in its arrays"),
        ({"kind": "mri", "shape": [1, 6, 6]}, "needs 'mask' in its arrays"),
    ],
)
def test_incomplete_scans_say_what_is_missing(geometry, message):
    with pytest.raises(InputError, match=message):
        Scan(torch.ones(3), geometry, noise_std=1).operator()
    with pytest.raises(InputError, match="needs 'detectors' in its geometry"):
        Scan(
            torch.ones(3),
            {"kind": "parallel_beam", "shape": [1, 6, 6]},
            arrays={"angles": ANGLES},
            noise_std=1,
        ).operator()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_spacing": "1"}, "'pixel_spacing' '1'; give a number"),
        ({"detector_spacing": True}, "'detector_spacing' True; give a number"),
        ({"detectors": "9"}, "whole number of detectors"),
        ({"center": 3.0}, "'center' 3.0; give a row and a column"),
        ({"center": [1, 2, 3]}, "give a row and a column"),
        ({"centre": [2.5, 2.5]}, "has 'centre'; did you mean 'center'"),
    ],
    ids=str,
)
def test_geometry_that_is_none_is_named(change, message):
    geometry = {"kind": "parallel_beam", **BEAM, **change}
    with pytest.raises(InputError, match=message):
        Scan(torch.ones(5, 9), geometry, arrays={"angles": ANGLES}, noise_std=1).operator()


def test_scans_have_one_suffix_and_images_another(tmp_path):
    scan = Scan(torch.ones(3), {"kind": "mri", "shape": [1, 6, 8]}, noise_std=1)
    with pytest.raises(InputError, match=r"ending in \.scan"):
        scan.save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="no scan"):
        Scan.load(tmp_path / "a.scan")
    write(torch.ones(6, 8), tmp_path / "a.npy", like=scan)


def test_a_failed_save_leaves_the_old_scan(tmp_path, monkeypatch):
    import safetensors.torch

    scan = Scan(torch.ones(3), {"kind": "mri", "shape": [1, 6, 8]}, noise_std=1)
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


def rewritten(path, change):
    """The scan at ``path`` with its JSON record changed, as another program might."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata["scorefield"] = json.dumps(json.loads(metadata["scorefield"]) | change)
    save_file(tensors, path, metadata=metadata)


def test_foreign_newer_and_altered_scans_are_refused(tmp_path):
    scan = Scan(torch.ones(3), {"kind": "mri", "shape": [1, 6, 8]}, noise_std=1)
    save_file({"data": torch.ones(3)}, tmp_path / "foreign.scan")
    rewritten(scan.save(tmp_path / "newer.scan"), {"version": 2})
    rewritten(scan.save(tmp_path / "altered.scan"), {"noise_std": 2.0})
    for name, message in [
        ("foreign", "layout None"),
        ("newer", "layout 2, and this scorefield reads 1"),
        ("altered", "changed or damaged"),
    ]:
        with pytest.raises(InputError, match=message):
            Scan.load(tmp_path / f"{name}.scan")


def test_the_axis_of_rotation_travels_with_the_scan(tmp_path):
    geometry = {"kind": "parallel_beam", "shape": [1, 12, 12], "detectors": 19, "detector_spacing": 1.0}
    geometry |= {"pixel_spacing": 1.0, "center": [4.5, 6.0]}
    arrays = {"angles": torch.linspace(0, 3, 5, dtype=torch.float64)}
    scan = Scan(torch.zeros(1, 5, 19), geometry, arrays=arrays, noise_std=1.0)
    operator = Scan.load(scan.save(tmp_path / "a.scan")).operator()
    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = parallel_beam((1, 12, 12), arrays["angles"], 19, center=(4.5, 6.0))
    torch.testing.assert_close(operator(x), expected(x))
    assert (operator(x) - parallel_beam((1, 12, 12), arrays["angles"], 19)(x)).abs().max() > 0.1
