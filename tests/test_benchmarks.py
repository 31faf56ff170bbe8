"""The helpers of the benchmarks: wrong models are wrong as they say, intervals are Student's, weights are found."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from benchmarks import shipped, trust, tuned_dps
from benchmarks.calibration import windows

from scorefield.data import Image
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity, birdcage
from scorefield.scans.protocols import ParallelCT, simulate
from scorefield.units import WATER
from support import normal


def blob(row: float, column: float, side: int = 24) -> torch.Tensor:
    axis = torch.arange(side)
    return WATER * torch.exp(-((axis[:, None] - row) ** 2 + (axis - column) ** 2) / 8).float()[None]


def scan(image: torch.Tensor):
    return simulate(Image(image, (1.0, 1.0)), ParallelCT(views=12, photons=1e12))


def test_the_interval_is_scipys():
    from scipy import stats

    values = normal(7).tolist()
    low, high = stats.t.interval(0.95, 6, loc=sum(values) / 7, scale=stats.sem(values))
    assert shipped.interval(values) == pytest.approx((high - low) / 2)
    assert math.isnan(shipped.interval(values[:1]))


def test_a_shifted_center_is_a_shift_of_the_image_and_a_rolled_detector_is_none():
    right = scan(blob(11, 10))
    moved = trust.shifted(1.0)(right).operator()(blob(11, 11)[None])[0]
    torch.testing.assert_close(moved, right.operator()(blob(11, 10)[None])[0], rtol=1e-4, atol=1e-6)
    rolled = trust.rolled(1)(right)
    assert torch.equal(rolled.data[..., 1:], right.data[..., :-1])


def test_a_stated_noise_is_the_only_thing_that_changes():
    right = scan(blob(11, 10))
    wrong = trust.noise(1.5)(right)
    assert wrong.noise.std == pytest.approx(1.5 * right.noise.std)
    assert torch.equal(wrong.data, right.data)
    angles = trust.array("angles", lambda a: 1.02 * a)(right).angles
    torch.testing.assert_close(angles, 1.02 * right.angles)


@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 1.0])
def test_turned_coils_are_the_maps_turned(part: float):
    """By quarters of a circle, where pixels meet pixels, either way round."""
    maps = birdcage(4, (1, 16, 16))
    found, quarters = trust.turned(maps, part), round(4 * part)
    candidates = [torch.rot90(maps, sign * quarters, (1, 2)) for sign in (1, -1)]
    assert min(float((found - wanted).abs().max()) for wanted in candidates) < 1e-4


def test_windows_are_square_and_from_the_images():
    image = normal(1, 50, 40).float()
    found = windows([image, 0 * image], 16)
    assert len(found) == 3 * 2  # an empty image gives none
    for window in found:
        assert window.shape == (1, 16, 16)
        rows = image.unfold(1, 16, 1).unfold(2, 16, 1)[0].flatten(0, 1)
        assert bool((rows == window).flatten(1).all(1).any())


@pytest.mark.parametrize("best", [0.003, 0.2, 30.0])
def test_the_weight_of_dps_is_found_though_it_diverges_elsewhere(monkeypatch: pytest.MonkeyPatch, best: float):
    """A score that falls with the distance in log weight: the weight found is within a factor of 2 of the best."""
    truth = torch.ones(1, 4, 4)
    given = Measurement(truth, Identity((1, 4, 4)), White(0.1))

    @dataclass
    class Drawn:
        draws: torch.Tensor

    def reconstruct(prior, given, *, n, seed, method):
        weight = method.posterior.weight / 4.0  # its unit here is |truth|^2 / |y| = 4
        if weight > 100 * best:
            raise InputError("diverged")
        return Drawn(torch.full((1, 1, 4, 4), abs(math.log(weight / best))))

    monkeypatch.setattr(tuned_dps, "reconstruct", reconstruct)
    monkeypatch.setattr(tuned_dps, "psnr", lambda x, truth, *, peak: -float(x.mean()))
    weight, tried = tuned_dps.tuned_dps(None, given, truth, 10, 1.0)  # pyright: ignore[reportArgumentType]
    assert best / 2 <= weight / 4.0 <= 2 * best
    assert min(tried) < weight < max(tried)
