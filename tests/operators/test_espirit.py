"""ESPIRiT: the maps of the scanner, eigenvalues, equivariance, and SigPy's maps."""

from __future__ import annotations

import importlib
from functools import cache

import pytest
import torch

from scorefield import operators as ops
from scorefield.errors import InputError
from scorefield.randomness import normal_like

SHAPES = [(48, 48), (45, 52)]  # even, odd
COILS = 6


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@cache
def scan(shape):
    """True maps, the pixels of the object, a disk with structure and a phase, and its k-space without noise."""
    true = ops.birdcage(COILS, (1, *shape)).to(torch.complex128)
    rows, columns = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape), indexing="ij")
    inside = rows**2 + columns**2 < 0.6**2
    size = inside * (1 + 0.4 * torch.sin(9 * columns) * torch.cos(7 * rows))
    image = torch.polar(size, rows + columns**2)
    return true, inside, ops.Fourier((COILS, *shape))((true * image)[None])[0]


def unitary(n, seed=3):
    return torch.linalg.qr(normal_like(torch.empty(n, n, dtype=torch.complex128), seeded(seed)))[0]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_maps_are_those_of_the_scanner(shape):
    """To the phase of each pixel; the tapered center misses three times as much at the border."""
    true, inside, kspace = scan(shape)

    def missed(maps):
        return float((1 - (true.conj() * maps).sum(0).abs())[inside].max())

    maps = ops.espirit(kspace).maps[0]
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(shape, dtype=torch.float64))
    assert missed(maps) < 3e-4
    assert missed(maps) < missed(ops.coil_maps(kspace)) / 3


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_eigenvalue_is_one_where_there_is_signal_and_none_elsewhere(shape):
    _, inside, kspace = scan(shape)
    found = ops.espirit(kspace, sets=COILS)
    assert found.eigenvalues.shape == (COILS, *shape)
    assert float(found.eigenvalues.max()) < 1 + 1e-12  # a projection, averaged
    assert float(found.eigenvalues.min()) > -1e-12
    assert float(found.eigenvalues[0][inside].min()) > 0.99
    assert float(found.eigenvalues[1][inside].max()) < 0.5
    assert bool((found.eigenvalues[:-1] >= found.eigenvalues[1:]).all())
    assert float(found.eigenvalues[0][0, 0]) < 0.9  # the corner is far outside
    assert bool((found.above()[:, :, 0, 0] == 0).all())
    assert bool((found.above(0.0)[0, :, 0, 0] != 0).all())


def test_two_images_on_each_other_have_two_eigenvalues_of_one():
    """A field of view of half the object: each pixel sees two places, and two sets of maps explain both."""
    true, inside, _ = scan((64, 48))
    rows = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    image = true * torch.where(inside, 1 + 0.3 * torch.sin(9 * rows), 0)
    folded = image[:, :32] + image[:, 32:]
    kspace = ops.Fourier((COILS, 32, 48))(folded[None])[0]
    found = ops.espirit(kspace, sets=3)
    both = inside[:32] & inside[32:]
    assert int(both.sum()) >= 60
    assert float(found.eigenvalues[1][both].quantile(0.1)) > 0.95
    assert float(found.eigenvalues[2][both].max()) < 0.7

    def misfit(sets):
        """Of the least squares image, pixel by pixel, where the sets explain the center."""
        maps = found.maps[:sets].movedim((0, 1), (-1, -2))
        fitted = maps @ (maps.mH @ folded.movedim(0, -1).unsqueeze(-1))
        return float((fitted.squeeze(-1).movedim(-1, 0) - folded)[:, both].norm() / folded[:, both].norm())

    assert misfit(2) < 0.02 < 0.07 < misfit(1)


def test_the_operator_of_all_sets_is_the_sum_over_them():
    _, _, kspace = scan((48, 48))
    found = ops.espirit(kspace, sets=2)
    images = normal_like(torch.empty(3, 2, 48, 48, dtype=torch.complex128), seeded())
    operator = found.coils(crop=0.5)
    torch.testing.assert_close(operator(images), torch.einsum("scij,bsij->bcij", found.above(0.5), images))
    assert ops.adjoint_error(operator, dtype=images.dtype) < 1e-12


def test_the_image_of_the_center_is_real_and_positive():
    _, inside, kspace = scan((48, 48))
    center = torch.zeros_like(kspace)
    hann = torch.hann_window(26, periodic=False, dtype=torch.float64)[1:-1]
    center[:, 12:36, 12:36] = kspace[:, 12:36, 12:36] * hann * hann[:, None]
    low = ops.Coils(ops.espirit(kspace).maps[0]).H(ops.Fourier(tuple(kspace.shape)).H(center[None]))[0, 0]
    assert float(low.imag.abs().max()) < 1e-12 * float(low.abs().max())
    assert float(low.real[inside].min()) > 0


@pytest.mark.parametrize(
    ("dtype", "power"),
    [
        (torch.complex64, -60),
        (torch.complex64, 40),
        (torch.complex128, -600),
        (torch.complex128, 600),
    ],  # squares: 0, inf
)
def test_the_unit_of_the_data_does_not_count(dtype, power):
    kspace = scan((45, 52))[2].to(dtype)
    one, other = ops.espirit(kspace), ops.espirit(kspace * 2.0**power)
    assert torch.equal(one.maps, other.maps)
    assert torch.equal(one.eigenvalues, other.eigenvalues)


@pytest.mark.parametrize("mixing", [torch.eye(COILS, dtype=torch.complex128)[[3, 0, 5, 1, 2, 4]], unitary(COILS)])
def test_maps_turn_with_the_coils(mixing):
    """Another order of the coils, or a unitary mixture of them: the maps are mixed likewise, eigenvalues stay."""
    kspace = scan((45, 52))[2]
    one, other = ops.espirit(kspace), ops.espirit(torch.einsum("ij,jrc->irc", mixing, kspace))
    torch.testing.assert_close(other.eigenvalues, one.eigenvalues)
    signal = one.eigenvalues[0] > 0.9  # elsewhere eigenvalues meet, and no vector is distinguished
    expected = torch.einsum("ij,jrc->irc", mixing, one.maps[0])
    torch.testing.assert_close(other.maps[0][:, signal], expected[:, signal], rtol=1e-7, atol=1e-7)


def test_only_the_center_counts():
    kspace = scan((48, 48))[2]
    known = torch.zeros(48, 48, dtype=torch.bool)
    known[16:32, 16:32] = True
    assert torch.equal(ops.espirit(kspace, width=16).maps, ops.espirit(kspace * known, width=16).maps)


def test_single_precision_agrees_with_double():
    kspace = scan((45, 52))[2]
    one, other = ops.espirit(kspace), ops.espirit(kspace.to(torch.complex64))
    assert other.maps.dtype == torch.complex64
    signal = one.eigenvalues[0] > 0.9
    torch.testing.assert_close(other.maps.to(torch.complex128)[..., signal], one.maps[..., signal], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "kspace", [torch.ones(3, 32, 32), torch.eye(32).expand(3, 32, 32) + 1e-30], ids=["one", "rank"]
)
def test_regions_without_signal_stay_finite(kspace):
    """Coils that are copies of each other, k-space without variety: nothing is NaN."""
    found = ops.espirit(kspace.to(torch.complex64), sets=3)
    assert bool(torch.view_as_real(found.maps).isfinite().all())
    assert bool(found.eigenvalues.isfinite().all())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_maps_are_those_of_sigpy(shape, noise):
    """To 1e-3 where one eigenvalue is one; its phase is that of the first coil."""
    pytest.importorskip("sigpy", reason="the package sigpy (extra [dev]) is not installed")
    calibration = importlib.import_module("sigpy.mri.app").EspiritCalib
    kspace = scan(shape)[2]
    kspace = kspace + noise * normal_like(kspace, seeded(5))
    theirs = torch.from_numpy(calibration(kspace.numpy(), show_pbar=False).run())
    ours = ops.espirit(kspace).above(0.95)[0]
    ours = ours * ours[0].sgn().conj()
    seen = ours.abs().sum(0) > 0
    assert int((seen != (theirs.abs().sum(0) > 0)).sum()) <= 2  # power iteration ends before the last digits
    seen &= theirs.abs().sum(0) > 0
    assert int(seen.sum()) > 500
    assert float((ours - theirs)[:, seen].abs().max()) < 1e-3


K = torch.ones(4, 32, 32, dtype=torch.complex64)
BAD = {
    "real k-space": (lambda: ops.espirit(K.real), "complex k-space"),
    "three dimensions": (lambda: ops.espirit(K[:, None].expand(4, 32, 32, 32)), "one slice"),
    "narrow k-space": (lambda: ops.espirit(K[..., :8]), "at least"),
    "holes": (lambda: ops.espirit(1 - torch.eye(32, dtype=K.dtype).expand(4, 32, 32)), "not all measured"),
    "infinity": (lambda: ops.espirit(K / 0), "NaN or infinite"),
    "a kernel beyond the center": (lambda: ops.espirit(K, width=4, kernel=5), "does not fit"),
    "a kernel of nothing": (lambda: ops.espirit(K, kernel=0), "does not fit"),
    "a kernel beyond half of k-space": (lambda: ops.espirit(K, width=20, kernel=17), "smaller kernel"),
    "a threshold of all": (lambda: ops.espirit(K, threshold=1.0), "threshold"),
    "a threshold of NaN": (lambda: ops.espirit(K, threshold=float("nan")), "threshold"),
    "no set": (lambda: ops.espirit(K, sets=0), "sets"),
    "more sets than coils": (lambda: ops.espirit(K, sets=5), "sets"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_answered_with_a_sentence(name):
    call, words = BAD[name]
    with pytest.raises(InputError, match=words):
        call()
