"""Laws of every exported kind of scan: it stands for its operator, its file is the scan, its fields are checked."""

# what is wrong on purpose, or known only when it runs
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportAbstractUsage=false
from __future__ import annotations

import inspect
import math
import weakref
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

import scorefield as sf
from scorefield import noise, operators, scans
from scorefield.baselines import least_squares
from scorefield.data import Frame, Image
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.scans import Cartesian, FanBeam, ParallelBeam, Scan, projections
from scorefield.scans.projections import Projectors
from scorefield.scans.protocols import Counting, Denoising, FanCT, ParallelCT, SuperResolution, simulate

KINDS = [kind for name in scans.__all__ if (kind := getattr(scans, name)) is not Scan]
every = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
G = torch.Generator().manual_seed(0)


def level_of_each(scan: Scan) -> noise.Weighted:
    return noise.Weighted(0.1 + torch.rand(scan.data.shape, generator=G))


def between_channels(scan: Scan) -> noise.Colored:
    root = torch.eye(len(scan.data)) + 0.1 * torch.rand(len(scan.data), len(scan.data), generator=G)
    return noise.Colored(root @ root.mT)


NOISES = [lambda scan: noise.White(0.3), level_of_each, between_channels]


@every
def test_a_scan_is_data_operator_and_noise(kind):
    scan = kind.example()
    measurement = scan.measurement()
    assert isinstance(measurement, Measurement)
    assert torch.equal(measurement.y[0], scan.data)
    assert measurement.noise is scan.noise
    assert scan.operator().shape_in == scan.shape == measurement.shape
    assert scan.operator().shape_out == tuple(scan.data.shape)
    assert scan.spatial == scan.shape[1:]
    assert (scan.unit, scan.spacing, scan.affine) == ("a.u.", None, None)


@every
@pytest.mark.parametrize("law", NOISES, ids=["White", "Weighted", "Colored"])
def test_a_file_is_the_scan(kind, law, tmp_path, oblique):
    scan = kind.example()
    affine = oblique * [0.75, 1.5, 1.0, 1.0]  # of square pixels
    scan = replace(scan, noise=law(scan), frame=Frame(affine=affine, unit="µ/mm"))
    again = Scan.load(scan.save(tmp_path / "a.scan"))
    assert type(again) is kind
    for item in fields(scan):
        old, new = getattr(scan, item.name), getattr(again, item.name)
        if isinstance(old, Tensor):
            assert torch.equal(old, new)
            assert old.dtype == new.dtype
        elif item.name not in ("noise", "frame"):
            assert old == new
    assert np.array_equal(again.affine, affine)
    assert (again.spacing, again.unit) == (scan.spacing, "µ/mm")
    x = torch.rand(2, *scan.shape, generator=G).to(scan.operator().H(scan.data[None]).dtype)
    assert torch.equal(again.measurement().log_likelihood(x), scan.measurement().log_likelihood(x))


@every
def test_the_documentation_names_every_field(kind):
    documented = "".join(inspect.getdoc(base) or "" for base in kind.__mro__)
    assert [item.name for item in fields(kind) if f"\n    {item.name}: " not in documented] == []


@every
def test_numpy_arrays_are_tensors(kind):
    scan = kind.example()
    arrays = {
        item.name: value.numpy() for item in fields(scan) if isinstance(value := getattr(scan, item.name), Tensor)
    }
    again = replace(scan, **arrays)
    x = torch.rand(1, *scan.shape, generator=G).to(scan.operator().H(scan.data[None]).dtype)
    assert torch.equal(again.measurement().log_likelihood(x), scan.measurement().log_likelihood(x))


@every
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scan: {"data": scan.data[:, :-1]}, "ask for"),
        (lambda scan: {"data": scan.data * math.nan}, r"data hold \d+ values that are NaN"),
        (lambda scan: {"data": torch.zeros(scan.data.shape, dtype=torch.int64)}, "convert them to float or complex"),
        (lambda scan: {"noise": 0.1}, r"White\(std\)"),
        (lambda scan: {"noise": noise.Weighted(torch.ones(7, 7, 7))}, "does not fit data"),
        (lambda scan: {"noise": noise.Weighted(torch.ones(2, *scan.data.shape))}, "does not fit data"),
        (lambda scan: {"frame": Frame(spacing=(1.0,))}, "axes"),
    ],
)
def test_what_does_not_fit_is_refused(kind, change, message):
    scan = kind.example()
    if message == "ask for" and kind in (scans.NoisyImage, scans.LowResolution):
        pytest.skip("the data themselves say the size of the image")
    with pytest.raises(InputError, match=message):
        replace(scan, **change(scan))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scans.NoisyImage(torch.ones(4, 4), noise=noise.White(1)), "noisy image has shape"),
        (lambda: scans.LowResolution(torch.ones(4, 4), 2, noise=noise.White(1)), "coarse image has shape"),
        (lambda: scans.LowResolution(torch.ones(1, 4, 4), 1, noise=noise.White(1)), "factor is 1"),
        (lambda: scans.LowResolution(torch.ones(1, 4, 4), 2.5, noise=noise.White(1)), "factor is 2.5"),  # pyright: ignore
    ],
)
def test_images_that_are_none_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    "protocol", [FanCT(40, 1e8), Counting(ParallelCT(30, 1e8)), Denoising(0.01), SuperResolution()]
)
def test_simulated_scans_say_the_image(protocol):
    """Least squares of each is the image, to the noise and the resolution of the scan."""
    rows, columns = torch.meshgrid(torch.arange(16) - 7.5, torch.arange(16) - 7.5, indexing="ij")
    blob = 0.02 * torch.exp(-(rows**2 + columns**2) / 16)[None]
    image = Image(blob, (4.0, 4.0), unit="1/mm")
    scan = simulate(image, protocol, seed=1)
    found = least_squares(scan, iterations=60)  # pyright: ignore[reportArgumentType]
    assert scan.shape == (1, 16, 16)
    assert scan.spacing == (4.0, 4.0)
    assert float((found - blob).norm() / blob.norm()) < 0.3


@every
def test_a_scan_says_what_it_is(kind):
    scan = kind.example()
    assert repr(scan) == f"{kind.__name__}(data {tuple(scan.data.shape)}, White (std 0.1))"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(({"kind": "mri_real", "shape": [1, 2, 2]},), "Cartesian"), (({"kind": "fan_beam"},), "FanBeam"), ((), "one of")],
)
def test_the_scan_of_version_0_1_names_the_class_to_build(arguments, name):
    with pytest.raises(InputError, match=name):
        sf.Scan(torch.ones(2), *arguments, arrays={}, noise_std=1.0)


# -- k-space -------------------------------------------------------------------------------------------------

MASK = torch.rand(1, 6, 8, generator=G) < 0.5
COILS = torch.randn(3, 6, 8, dtype=torch.complex64, generator=G)
KSPACE = torch.randn(3, 6, 8, dtype=torch.complex64, generator=G)[:, MASK[0]]


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("coils", [None, COILS], ids=["one coil", "three coils"])
def test_cartesian_operators(coils, real):
    scan = Cartesian(KSPACE[: 1 if coils is None else 3], MASK, coils, noise=noise.White(1), real=real)
    expected = operators.mri(MASK, coils)
    x = torch.randn(2, 1, 6, 8, generator=G)
    assert torch.equal(scan.operator()(x if real else x.to(torch.complex64)), expected(x.to(torch.complex64)))
    assert scan.operator().H(scan.data[None]).is_complex() != real


@pytest.mark.parametrize("mask", [MASK.float(), MASK.int().numpy(), MASK[0]], ids=["floats", "numpy", "no channel"])
def test_a_mask_of_ones_and_zeros_is_a_mask(mask):
    scan = Cartesian(KSPACE, mask, COILS, noise=noise.White(1))
    assert torch.equal(scan.mask, MASK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": KSPACE.abs()}, "K-space is complex"),
        ({"mask": 0.5 * MASK}, "other numbers than 0 and 1"),
        ({"mask": MASK.expand(3, 6, 8)}, "one mask"),
        ({"mask": torch.ones(1, 5, 8)}, "one mask"),
        ({"coils": COILS * torch.inf}, "coils hold"),
        ({"coils": None}, "no coil maps"),
    ],
)
def test_k_space_that_does_not_fit_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        Cartesian(**{"data": KSPACE, "mask": MASK, "coils": COILS, "noise": noise.White(1)} | options)


# -- projections ---------------------------------------------------------------------------------------------

ANGLES = torch.linspace(0, 3, 5, dtype=torch.float64)
LENGTHS = {"detector_spacing": 1.5, "detector_offset": 0.7, "center": (2.0, 3.5)}
DISTANCES = {"source_distance": 30.0, "detector_distance": 20.0}


def beam(kind, **options):
    given = {"size": (6, 8), "noise": noise.White(1), "frame": Frame((2.0, 2.0)), **LENGTHS, **options}
    return kind(options.pop("data", torch.zeros(2, 5, 9)), ANGLES, **{n: v for n, v in given.items() if n != "data"})


@pytest.mark.parametrize(("kind", "distances"), [(ParallelBeam, {}), (FanBeam, DISTANCES)])
def test_projections_have_the_projector_of_their_numbers(kind, distances):
    scan = beam(kind, **distances)
    geometry = getattr(operators, kind.__name__)
    expected = operators.Projector(
        geometry(shape=(2, 6, 8), angles=ANGLES, detectors=9, pixel_spacing=2.0, **LENGTHS, **distances)
    )
    x = torch.rand(1, 2, 6, 8, generator=G)
    assert torch.equal(scan.operator()(x), expected(x))
    for name in LENGTHS | distances:
        changed = replace(scan, **{name: (2.5, 3.0) if name == "center" else getattr(scan, name) + 0.3})
        assert (changed.operator()(x) - expected(x)).abs().max() > 1e-3


@pytest.mark.parametrize("bins", [-2, 3])
def test_bins_cut_off_one_side_are_an_offset(bins):
    """The same projections, whether the axis is put in the middle by cutting bins or by an offset."""
    x = torch.rand(1, 1, 6, 6, generator=G)
    whole = beam(ParallelBeam, data=torch.zeros(1, 5, 21), size=(6, 6), detector_offset=0.0)
    start = max(0, 2 * bins)
    cut = replace(whole, data=whole.data[..., start : 21 + min(0, 2 * bins)], detector_offset=bins * 1.5)
    torch.testing.assert_close(cut.operator()(x), whole.operator()(x)[..., start : 21 + min(0, 2 * bins)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector_spacing": "1"}, "detector_spacing is '1'; give a number"),
        ({"detector_spacing": True}, "detector_spacing is True; give a number"),
        ({"detector_spacing": -1.0}, "positive length"),
        ({"detector_offset": math.inf}, "detector_offset is inf"),
        ({"center": (1, 2, 3)}, "finite .row, column"),
        ({"center": (1, "b")}, "center is 'b'"),
        ({"size": (6, 8, 1)}, "rows and columns"),
        ({"size": (6, 2.5)}, "rows and columns"),
        ({"frame": Frame((1.0, 2.0))}, "square pixels"),
        ({"data": torch.zeros(5, 9)}, "slices, views, bins"),
        ({"data": torch.zeros(1, 5, 9, dtype=torch.complex64)}, "real line integrals"),
    ],
    ids=str,
)
def test_projections_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        beam(ParallelBeam, **options)


def test_a_source_inside_the_image_is_refused():
    with pytest.raises(InputError, match="source_distance"):
        beam(FanBeam, source_distance=3.0, detector_distance=1.0)


def test_projectors_are_built_once_for_each_geometry():
    first, same, other = (beam(ParallelBeam, center=center) for center in ((2.0, 3.0), (2.0, 3.0), (2.0, 3.1)))
    assert first.operator() is same.operator()
    assert first.measurement().operator is first.operator()
    assert first.operator() is not other.operator()


def test_the_projector_before_is_let_go_before_the_next_is_built(monkeypatch):
    """Unless it is in use: no two matrices are in memory where one is asked for."""
    geometries = [operators.ParallelBeam(shape=(1, 4, 4), angles=[0.1], detectors=n) for n in (5, 6)]
    alive = []

    def build(geometry):
        alive.append(before() is not None)
        return operators.Projector(geometry)

    monkeypatch.setattr(projections, "Projector", build)
    before, projectors = (lambda: None), Projectors()
    before = weakref.ref(projectors.get(geometries[0]))
    assert before() is projectors.get(geometries[0])
    used = projectors.get(geometries[1])
    assert alive == [False, False]
    projectors.get(geometries[0])
    assert projectors.get(geometries[1]) is used
