"""Projectors against analytic line integrals of ellipses; geometry, gradients, filtered back-projection."""

# what is wrong on purpose, or known only when it runs
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportAbstractUsage=false
from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scorefield import operators as ops
from scorefield.errors import InputError

# (attenuation, center x, center y, half axes a and b, turn in degrees), the head of Shepp & Logan 1974 with
# the contrast of Toft 1996, in units of half the field of view
HEAD = [
    (1.0, 0, 0, 0.69, 0.92, 0),
    (-0.8, 0, -0.0184, 0.6624, 0.874, 0),
    (-0.2, 0.22, 0, 0.11, 0.31, -18),
    (-0.2, -0.22, 0, 0.16, 0.41, 18),
    (0.1, 0, 0.35, 0.21, 0.25, 0),
    (0.1, 0, 0.1, 0.046, 0.046, 0),
    (0.1, 0, -0.1, 0.046, 0.046, 0),
    (0.1, -0.08, -0.605, 0.046, 0.023, 0),
    (0.1, 0, -0.606, 0.023, 0.023, 0),
    (0.1, 0.06, -0.605, 0.023, 0.046, 0),
]
DISK = [(0.02, 0.2, 0.3, 0.4, 0.4, 0)]


def frame(ellipse, half):
    """Attenuation, center in mm, and the matrix that takes mm to the unit disk."""
    value, x, y, a, b, degrees = ellipse
    turn = math.radians(degrees)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return value, np.array([x, y]) * half, rotation / (np.array([[a], [b]]) * half)


def raster(ellipses, n, spacing, center, fine=8):
    """The ellipses on pixels (1, 1, n, n), each the mean of fine x fine points; origin at the center."""
    place = (np.arange(n * fine) + 0.5) / fine - 0.5
    points = np.stack(np.meshgrid((place - center[1]) * spacing, (center[0] - place) * spacing), -1)
    image = np.zeros((n * fine, n * fine))
    for ellipse in ellipses:
        value, middle, unit = frame(ellipse, n * spacing / 2)
        image += value * (((points - middle) @ unit.T) ** 2).sum(-1).__le__(1)
    return torch.from_numpy(image.reshape(n, fine, n, fine).mean((1, 3)))[None, None]


def integrals(ellipses, geometry, half, fine=16):
    """Exact line integrals (1, 1, views, detectors), each bin the mean of fine rays.

    Written from the documented geometry alone, so that a projector in another one fails.
    """
    steps = np.arange(geometry.detectors * fine) + 0.5
    offset = (steps / fine - geometry.detectors / 2) * geometry.detector_spacing + geometry.detector_offset
    views = []
    for angle in geometry.angles:
        axis, along = (
            np.array([math.cos(angle), math.sin(angle)]),
            np.array([-math.sin(angle), math.cos(angle)]),
        )
        if hasattr(geometry, "source_distance"):
            point = -geometry.source_distance * along + 0 * offset[:, None]
            direction = geometry.detector_distance * along + offset[:, None] * axis - point
        else:
            point, direction = offset[:, None] * axis, along + 0 * offset[:, None]
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        total = np.zeros(len(offset))
        for ellipse in ellipses:
            value, middle, unit = frame(ellipse, half)
            o, d = (point - middle) @ unit.T, direction @ unit.T
            a, b, c = (d * d).sum(1), (o * d).sum(1), (o * o).sum(1) - 1
            total += value * 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a
        views.append(total.reshape(-1, fine).mean(1))
    return torch.from_numpy(np.stack(views))[None, None]


def error(found, truth):
    return ((found - truth).norm() / truth.norm()).item()


VIEWS = np.arange(19) * math.pi / 19 + 0.01
N, P = 256, 0.7


def beam(kind):
    """``kind`` as a function of shape, angles and the other arguments, like ``ops.parallel_beam``."""
    return lambda shape, angles, detectors, **options: ops.Projector(
        kind(shape=shape, angles=angles, detectors=detectors, **options)
    )


GEOMETRIES = {
    "parallel": (ops.parallel_beam, {}),
    "parallel, detector half a bin off": (beam(ops.ParallelBeam), {"detector_offset": 0.5 * P}),
    "parallel, detector far off": (beam(ops.ParallelBeam), {"detector_offset": -60.3 * P}),
    "fan, detector half a bin off": (
        beam(ops.FanBeam),
        {
            "detector_spacing": 2 * P,
            "source_distance": 2 * N * P,
            "detector_distance": 2 * N * P,
            "detector_offset": P,
        },
    ),
    "parallel, off center": (ops.parallel_beam, {"center": (118.3, 140.0)}),
    "parallel, wide bins": (ops.parallel_beam, {"detector_spacing": 3 * P, "detectors": 125}),
    "fan": (
        ops.fan_beam,
        {"detector_spacing": 2 * P, "source_distance": 2 * N * P, "detector_distance": 2 * N * P},
    ),
    "fan, off center": (
        ops.fan_beam,
        {
            "detector_spacing": 1.5 * P,
            "source_distance": 2 * N * P,
            "detector_distance": N * P,
            "center": (130.0, 120.5),
        },
    ),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_line_integrals_are_within_one_percent(name):
    build, options = GEOMETRIES[name]
    settings = {"detectors": 375, "detector_spacing": P, "pixel_spacing": P, **options}
    projector = build((1, N, N), 2 * VIEWS if "fan" in name else VIEWS, **settings)
    geometry = projector.geometry
    sinogram = projector(raster(HEAD, N, P, geometry.center))
    truth = integrals(HEAD, geometry, N * P / 2)
    assert error(sinogram, truth) < 0.01
    assert sinogram.sum().item() == pytest.approx(truth.sum().item(), rel=1e-3)


def test_half_a_pixel_of_center_matters_and_other_tools_centers_can_be_named():
    settings = {"detectors": 183, "detector_spacing": P, "pixel_spacing": P}
    truth = raster(HEAD, 128, P, (64, 64))  # as scikit-image sees it: about (n // 2, n // 2)
    exact = ops.parallel_beam((1, 128, 128), VIEWS, center=(64, 64), **settings)
    plain = ops.parallel_beam((1, 128, 128), VIEWS, **settings)
    reference = integrals(HEAD, exact.geometry, 64 * P)
    assert error(exact(truth), reference) < 0.02
    assert error(plain(truth), reference) > 0.05


FAN = {"source_distance": 40.0, "detector_distance": 25.0}


@pytest.mark.parametrize(("kind", "distances"), [(ops.ParallelBeam, {}), (ops.FanBeam, FAN)])
@pytest.mark.parametrize("bins", [-7, 3])
def test_an_offset_of_whole_bins_shifts_the_data(kind, distances, bins):
    settings = {"shape": (1, 20, 20), "angles": VIEWS, "detector_spacing": 1.3, **distances}
    wide = ops.Projector(kind(detectors=61, **settings))
    narrow = ops.Projector(kind(detectors=21, detector_offset=bins * 1.3, **settings))
    x = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(narrow(x), wide(x)[..., 20 + bins : 41 + bins], rtol=1e-5, atol=1e-5)


def test_an_offset_is_finite():
    with pytest.raises(InputError, match="detector_offset is nan"):
        ops.ParallelBeam(shape=(1, 4, 4), angles=[0.0], detectors=5, detector_offset=math.nan)


def test_scikit_image_agrees():
    transform = pytest.importorskip("skimage.transform")
    image = raster(HEAD, 64, 1.0, (32, 32))
    projector = ops.parallel_beam((1, 64, 64), VIEWS, 65, center=(32, 32))
    disk = np.hypot(*np.mgrid[-32:32, -32:32]) < 31
    image = image * torch.from_numpy(disk)
    padded = np.pad(image[0, 0].numpy(), ((0, 1), (0, 1)))  # an odd image has one center for every tool
    theirs = transform.radon(padded, np.rad2deg(VIEWS), circle=True).T
    assert error(projector(image)[0, 0], torch.from_numpy(theirs)) < 0.02


def test_view_zero_sums_columns_and_a_quarter_turn_sums_rows():
    x = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = ops.parallel_beam((1, 5, 7), [0.0, math.pi / 2, math.pi], 7, pixel_spacing=0.5, detector_spacing=0.5)(x)
    torch.testing.assert_close(y[:, :, 0], 0.5 * x.sum(-2), rtol=1e-6, atol=1e-6)
    # the detector axis points up at a quarter turn: its first bins see the lowest rows
    torch.testing.assert_close(y[:, :, 1, 1:-1], 0.5 * x.sum(-1).flip(-1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(y[:, :, 2], y[:, :, 0].flip(-1), rtol=1e-5, atol=1e-6)


def test_lengths_are_millimeters():
    """Scaling all lengths by k scales the line integrals by k."""
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    lengths = {
        "source_distance": 30.0,
        "detector_distance": 20.0,
        "detector_spacing": 1.7,
        "pixel_spacing": 0.9,
    }
    one = ops.fan_beam((1, 16, 16), VIEWS, 20, **lengths)
    three = ops.fan_beam((1, 16, 16), VIEWS, 20, **{name: 3 * length for name, length in lengths.items()})
    torch.testing.assert_close(three(x), 3 * one(x))


def test_a_distant_source_is_a_parallel_beam():
    x = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    far = ops.fan_beam((1, 20, 20), VIEWS, 30, source_distance=1e7, detector_distance=0)
    torch.testing.assert_close(far(x), ops.parallel_beam((1, 20, 20), VIEWS, 30)(x), rtol=1e-4, atol=1e-4)


class Operations(TorchDispatchMode):
    """The names of what torch computes."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("direction", [lambda A: A, lambda A: A.H], ids=["forward", "adjoint"])
def test_one_image_takes_a_product_with_a_vector_and_a_batch_the_same_numbers(direction):
    """The product with a matrix of one column is the slower one, for the same numbers."""
    A = direction(ops.parallel_beam((1, 6, 7), [0.0, 0.7], 9))
    x = torch.rand(3, *A.shape_in, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with Operations() as one:
        each = [A(row.unsqueeze(0)) for row in x]
    with Operations() as many:
        together = A(x)
    torch.testing.assert_close(torch.cat(each), together, rtol=1e-13, atol=1e-14)
    products = [sum(name.startswith(kind) for name in log.names) for log in (one, many) for kind in ("mv", "mm")]
    assert products == [3, 0, 0, 1]


def test_slices_share_the_rays():
    x = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    stack, single = (ops.parallel_beam((slices, 9, 8), VIEWS, 13) for slices in (3, 1))
    torch.testing.assert_close(stack(x), torch.cat([single(x[:, i : i + 1]) for i in range(3)], 1))


def test_gradients_of_every_order():
    projector = ops.fan_beam((1, 4, 5), [0.3, 1.9], 6, source_distance=9, detector_distance=4)
    x = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    y = torch.rand(2, 1, 2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(projector, x)
    assert torch.autograd.gradcheck(projector.H, y)
    assert torch.autograd.gradgradcheck(lambda u: projector(u).square(), x)
    _, pullback = torch.func.vjp(projector, x.detach())
    torch.testing.assert_close(pullback(y.detach())[0], projector.H(y).detach())


def test_the_matrix_and_its_transpose_are_what_is_applied():
    projector = ops.parallel_beam((1, 4, 5), np.append(VIEWS, 0.0), 5)
    assert projector.matrix.dtype == torch.float32
    torch.testing.assert_close(projector.transpose.to_dense(), projector.matrix.to_dense().mT)
    x = torch.rand(1, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(projector(x).flatten(), projector.matrix.to_dense() @ x.flatten())
    for matrix in (
        projector.matrix,
        projector.transpose,
    ):  # sorted and distinct within each row, as torch asks
        starts, columns = matrix.crow_indices(), matrix.col_indices()
        for first, last in itertools.pairwise(starts.tolist()):
            assert (columns[first:last].diff() > 0).all()
        assert bool((matrix.values() > 0).all())  # a ray through the centers of pixels touches no other column
    assert projector(x.bfloat16()).dtype == torch.bfloat16


def test_geometry_describes_itself():
    geometry = ops.fan_beam((1, 8, 8), torch.tensor([0.5]), 9, source_distance=20, detector_distance=10).geometry
    assert (geometry.shape, geometry.angles, geometry.detectors) == ((1, 8, 8), (0.5,), 9)
    assert (geometry.source_distance, geometry.detector_distance) == (20, 10)
    assert geometry.center == (3.5, 3.5)
    assert geometry.width == pytest.approx(2 / 3)


# -- filtered back-projection --------------------------------------------------------------------------------

M = 128
SCANS = {
    "parallel": (ops.parallel_beam, np.arange(180) * math.pi / 180, 189, {}),
    "parallel, full turn": (ops.parallel_beam, np.arange(181) * 2 * math.pi / 181, 189, {}),
    "parallel, opposite pairs": (ops.parallel_beam, np.arange(180) * 2 * math.pi / 180, 189, {}),
    "parallel, golden angles": (
        ops.parallel_beam,
        np.arange(180) * math.pi * (math.sqrt(5) - 1) / 2,
        189,
        {},
    ),
    "parallel, bunched": (
        ops.parallel_beam,
        np.r_[np.arange(120) * math.pi / 240, math.pi / 2 + np.arange(60) * math.pi / 120],
        189,
        {},
    ),
    "parallel, wide bins": (
        ops.parallel_beam,
        np.arange(180) * math.pi / 180,
        95,
        {"detector_spacing": 2 * P},
    ),
    "parallel, off center": (
        ops.parallel_beam,
        np.arange(180) * math.pi / 180,
        201,
        {"center": (60.0, 70.0)},
    ),
    "parallel, detector off by 5.5 bins": (
        beam(ops.ParallelBeam),
        np.arange(180) * math.pi / 180,
        201,
        {"detector_offset": 5.5 * P},
    ),
    "fan, detector off by 7.5 bins": (
        beam(ops.FanBeam),
        np.arange(240) * math.pi / 120,
        221,
        {"detector_spacing": 2 * P, "source_distance": M * P, "detector_distance": M * P, "detector_offset": -15 * P},
    ),
    "fan": (
        ops.fan_beam,
        np.arange(360) * math.pi / 180,
        201,
        {"detector_spacing": 2 * P, "source_distance": M * P, "detector_distance": M * P},
    ),
    "fan, off center": (
        ops.fan_beam,
        np.arange(240) * math.pi / 120,
        241,
        {"source_distance": 2 * M * P, "detector_distance": 0.3 * M * P, "center": (60.0, 70.0)},
    ),
}


@pytest.mark.parametrize("name", SCANS)
def test_fbp_of_a_disk_is_the_disk(name):
    """Its value in each quarter and zero outside, within 1 %."""
    build, angles, detectors, options = SCANS[name]
    settings = {"detectors": detectors, "detector_spacing": P, "pixel_spacing": P, **options}
    projector = build((1, M, M), angles, **settings)
    geometry = projector.geometry
    image = ops.fbp(projector, integrals(DISK, geometry, M * P / 2))[0, 0] / DISK[0][0]
    y, x = np.mgrid[:M, :M]
    x, y = (x - geometry.center[1]) / (M / 2) - 0.2, (geometry.center[0] - y) / (M / 2) - 0.3
    radius = np.hypot(x, y)
    for quarter in ((x > 0) & (y > 0), (x > 0) & (y < 0), (x < 0) & (y > 0), (x < 0) & (y < 0)):
        assert image[torch.from_numpy(quarter & (radius < 0.36))].mean() == pytest.approx(1, abs=0.01)
        assert image[torch.from_numpy(quarter & (radius > 0.44) & (radius < 0.6))].mean().abs() < 0.01
    assert image[torch.from_numpy(radius < 0.36)].std() < 0.02


@pytest.mark.parametrize(
    ("angles", "half_turns"),
    [
        (np.arange(60) * 1.5 * math.tau / 60, 1.0),
        (np.arange(300) * 5 * math.tau / 300, 1.0),
        (np.tile(np.arange(20) * math.pi / 20, 3), 1.0),
        (np.random.default_rng(1).uniform(0, math.pi, 200), 1.0),
        (np.arange(1000) * math.pi * (math.sqrt(5) - 1) / 2, 1.0),
        (np.arange(7) * math.pi / 7, 1.0),
        (np.arange(90) * math.radians(120) / 90, 2 / 3),  # a missing wedge of 60 degrees stays missing
        (np.repeat(np.arange(90) * math.radians(120) / 90, 2), 2 / 3),
    ],
)
def test_the_views_stand_for_the_covered_half_turn(angles, half_turns):
    """The middle of a disk is the mean over its views, each by the angle for which it stands."""
    disk = np.hypot(*(np.mgrid[:33, :33] - 16)) < 12
    full, some = (
        ops.fbp(projector, projector(torch.from_numpy(disk)[None, None].float()))[0, 0, 14:19, 14:19].mean().item()
        for projector in (ops.parallel_beam((1, 33, 33), a, 47) for a in (np.arange(180) * math.pi / 180, angles))
    )
    assert some / full == pytest.approx(half_turns, rel=0.02)


def test_one_sinogram_gives_one_image():
    projector = ops.parallel_beam((2, 8, 8), VIEWS, 13)
    y = torch.rand(2, 19, 13)
    torch.testing.assert_close(ops.fbp(projector, y), ops.fbp(projector, y[None])[0])


def test_windows_trade_sharpness_for_noise():
    """A window's noise gain is the integral of its squared ramp: measured ratios follow it."""
    projector = ops.parallel_beam((1, 64, 64), np.arange(90) * math.pi / 90, 95)
    noise = torch.randn(20, 1, 90, 95, generator=torch.Generator().manual_seed(0))
    spread = [ops.fbp(projector, noise, window)[..., 16:48, 16:48].std().item() for window in (ops.ramlak, ops.hann)]
    f = torch.linspace(0, 1, 1001)
    assert ops.shepp_logan(f)[-1] == pytest.approx(2 / math.pi)
    assert ops.hann(f)[-1] == pytest.approx(0, abs=1e-6)
    # interpolation blurs as well, so the windows differ less in the image than in the sinogram
    full, half = ((f * window(f)).square().mean().sqrt().item() for window in (ops.ramlak, ops.hann))
    assert half / full < spread[1] / spread[0] < 0.7


def test_fbp_commutes_with_a_mirror():
    """Mirrored data (angles and detector axis reversed) give the mirrored image, for uneven angles too."""
    uneven = math.pi * np.random.default_rng(0).random(12)
    y = torch.randn(1, 1, 12, 29, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image = ops.fbp(ops.parallel_beam((1, 20, 20), uneven, 29), y)
    mirrored = ops.fbp(ops.parallel_beam((1, 20, 20), -uneven, 29), y.flip(-1))
    torch.testing.assert_close(mirrored, image.flip(-1), rtol=1e-5, atol=1e-6)


def test_empty_bins_beside_the_image_change_nothing():
    """The filter is a convolution on the line, not on a circle."""
    y = torch.randn(1, 1, 10, 31, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    narrow, wide = (ops.parallel_beam((1, 20, 20), VIEWS[:10], detectors) for detectors in (31, 101))
    padded = torch.nn.functional.pad(y, (35, 35))
    torch.testing.assert_close(ops.fbp(wide, padded), ops.fbp(narrow, y), rtol=1e-6, atol=1e-7)


def test_fbp_is_linear_and_keeps_batches():
    projector = ops.fan_beam((2, 16, 16), np.arange(40) * math.pi / 20, 24, source_distance=30, detector_distance=0)
    y = torch.randn(3, 2, 40, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = ops.fbp(projector, y)
    assert images.shape == (3, 2, 16, 16)
    torch.testing.assert_close(images[1:2], ops.fbp(projector, y[1:2]))
    torch.testing.assert_close(ops.fbp(projector, 2 * y[:1] - y[1:2]), 2 * images[:1] - images[1:2])


# -- bad input -----------------------------------------------------------------------------------------------

FAN = {"source_distance": 20.0, "detector_distance": 10.0}
BAD = {
    "flat shape": (lambda: ops.parallel_beam((8, 8), VIEWS, 9), "axes"),
    "volume": (lambda: ops.parallel_beam((1, 8, 8, 8), VIEWS, 9), r"\(1, H, W\)"),
    "no angle": (lambda: ops.parallel_beam((1, 8, 8), [], 9), "angles"),
    "angle not finite": (lambda: ops.parallel_beam((1, 8, 8), [0.0, math.nan], 9), "finite"),
    "no detector": (lambda: ops.parallel_beam((1, 8, 8), VIEWS, 0), "detectors >= 1"),
    "fractional detectors": (lambda: ops.parallel_beam((1, 8, 8), VIEWS, 9.5), "whole number"),
    "negative bins": (
        lambda: ops.parallel_beam((1, 8, 8), VIEWS, 9, detector_spacing=-1),
        "detector_spacing",
    ),
    "pixels of size zero": (lambda: ops.parallel_beam((1, 8, 8), VIEWS, 9, pixel_spacing=0), "pixel_spacing"),
    "infinite pixels": (
        lambda: ops.parallel_beam((1, 8, 8), VIEWS, 9, pixel_spacing=math.inf),
        "pixel_spacing",
    ),
    "center in three": (lambda: ops.parallel_beam((1, 8, 8), VIEWS, 9, center=(1, 2, 3)), "center"),
    "center not finite": (lambda: ops.parallel_beam((1, 8, 8), VIEWS, 9, center=(1, math.nan)), "center"),
    "no source distance": (
        lambda: ops.fan_beam((1, 8, 8), VIEWS, 9, **{**FAN, "source_distance": 0}),
        "source",
    ),
    "detector behind": (
        lambda: ops.fan_beam((1, 8, 8), VIEWS, 9, **{**FAN, "detector_distance": -1}),
        ">= 0",
    ),
    "source in the image": (
        lambda: ops.fan_beam((1, 8, 8), VIEWS, 9, **{**FAN, "source_distance": 5}),
        "reaches",
    ),
    "degrees": (lambda: ops.parallel_beam((1, 8, 8), np.arange(180), 9), "degrees"),
    "degrees, an odd number": (lambda: ops.parallel_beam((1, 8, 8), np.arange(77) * 180 / 77, 9), "degrees"),
    "degrees, both ends": (lambda: ops.fan_beam((1, 8, 8), np.linspace(0, 360, 77), 9, **FAN), "degrees"),
    "degrees, random": (lambda: ops.parallel_beam((1, 8, 8), np.random.default_rng(0).uniform(0, 180, 9), 9), "degr"),
    "another sinogram": (
        lambda: ops.fbp(ops.parallel_beam((1, 8, 8), VIEWS, 9), torch.ones(1, 1, 19, 8)),
        "sinogram has shape",
    ),
    "short fan scan": (
        lambda: ops.fbp(ops.fan_beam((1, 8, 8), VIEWS, 9, **FAN), torch.ones(1, 1, 19, 9)),
        "full turn",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_answered_with_a_sentence(name):
    make, words = BAD[name]
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert str(caught.value).endswith(".")
