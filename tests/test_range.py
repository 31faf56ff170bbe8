"""Data beyond the range of their dtype are refused, where they would give an image of zeros or of the prior alone."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import warnings

import pytest
import torch

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity, Projector, ct
from scorefield.operators.ct_geometry import ParallelBeam
from scorefield.reconstruction.pipeline import initial_image
from scorefield.scans import Cartesian, FanBeam
from scorefield.scans import ParallelBeam as Parallel
from scorefield.units import intensity_of
from support import complex_normal, normal

SINGLE = [torch.float32, torch.complex64]
DOUBLE = [torch.float64, torch.complex128]


def measured(dtype: torch.dtype, scale: float) -> Measurement:
    y = (scale * (complex_normal(1, 6, 8) if dtype.is_complex else normal(1, 6, 8))).to(dtype)
    return Measurement(y, Identity((1, 6, 8)), White(0.1 * scale))


@pytest.mark.parametrize("dtype", [*SINGLE, *DOUBLE], ids=str)
@pytest.mark.parametrize("scale", [1e-14, 1e-6, 1e6, 1e11])
def test_units_within_the_range_change_nothing(dtype, scale):
    intensity = [intensity_of(initial_image(measured(dtype, s))) for s in (1.0, scale)]
    assert intensity[1] == pytest.approx(scale * intensity[0], rel=1e-4)


@pytest.mark.parametrize(("dtypes", "scales"), [(SINGLE, (1e-20, 1e16, 1e19)), (DOUBLE, (1e-140, 1e140))], ids=str)
def test_data_beyond_it_are_refused(dtypes, scales):
    for dtype in dtypes:
        for scale in scales:
            with pytest.raises(InputError, match=r"The data reach .*; give data and noise in another unit"):
                measured(dtype, scale)


def test_zeros_are_data():
    assert float(Measurement(torch.zeros(1, 6, 8), Identity((1, 6, 8)), White(0.1)).y.abs().max()) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_becomes_single(dtype):
    y = normal(1, 6, 8).to(dtype)
    measurement = Measurement(y, Identity((1, 6, 8)), White(0.1))
    assert torch.equal(measurement.y[0], y.float())
    assert initial_image(measurement).isfinite().all()


@pytest.mark.parametrize("kind", [FanBeam, Parallel, Cartesian])
def test_a_scan_of_half_precision_is_reconstructed(kind):
    scan = kind.example()
    half = torch.complex32 if scan.data.is_complex() else torch.float16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torch: complex halves are experimental
        data = scan.data.to(half)
    given = kind(**{**vars(scan), "data": data}).measurement()
    assert given.y.dtype == scan.data.dtype
    assert initial_image(given).isfinite().all()


def geometry(**options) -> ParallelBeam:
    return ParallelBeam(**{"shape": (1, 64, 64), "angles": [0.0, 1.0], "detectors": 90, **options})


def test_a_projector_beyond_the_memory_is_refused_before_it_is_built(monkeypatch):
    for odd in ({"pixel_spacing": 1e-5}, {"detectors": 10**7}, {"shape": (1, 40000, 40000), "angles": [0.0] * 900}):
        with pytest.raises(InputError, match=r"needs about .* GB of memory, and .* GB are free"):
            Projector(geometry(**odd))
    Projector(geometry())
    monkeypatch.setattr(ct, "free_bytes", lambda device: 1000)
    with pytest.raises(InputError, match="1e-06 GB are free"):
        Projector(geometry())


@pytest.mark.parametrize("wide", [0.25, 1.0, 1.5, 8.0])
def test_the_memory_of_a_projector_is_told_from_above(wide):
    """Entries of the matrix and of its transpose, 8 bytes each: the peak is up to some times as much."""
    given = geometry(detector_spacing=wide, angles=[0.1 * k for k in range(30)], detectors=int(90 / wide))
    stored = 16 * Projector(given).matrix.values().numel()
    building = 100.0 * given.detectors * max(1, round(wide + 0.49)) * 64
    assert 1.5 * stored < ct.peak_bytes(given) < 6 * stored + building
