"""The page about a calibration: what it says of right, narrow, wide and too few intervals."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from scorefield.calibration import LEVELS, Calibration, Cropped, FromImages, SimulatedScan, observe
from scorefield.data import Images, write
from scorefield.errors import InputError
from scorefield.reports import calibration_figures as figures
from scorefield.reports.calibration import calibration_report, findings
from support import normal

ORIGIN = {"prior": {"class": "Gaussian", "numbers": "0"}, "truths": "FromDensity()", "scans": "by hand", "draws": 19}


def calibration(scans: int, factor: float = 1.0, z: float = 0.0, n: int = 19) -> Calibration:
    """Images of white noise about an offset of 5, the draws ``factor`` times as wide as the truth."""
    results = []
    for number in range(scans):
        stack = normal(n + 1, 1, 16, 16, seed=number)
        stack[1:] *= factor
        center = 5 + 0.5 * normal(1, seed=10_000 + number)
        seen = observe(center + stack[0], center + stack[1:], torch.Generator().manual_seed(30_000 + number))
        numbers = {"crps": 0.5, "residual_z": z + float(normal(1, seed=20_000 + number)), "evaluations": 49.0}
        results.append(SimulatedScan(seen, {**numbers, "vector_jacobian_products": 0.0, "seconds": 1.0}))
    return Calibration(tuple(results), ORIGIN)


def test_right_intervals_hold():
    found = findings(calibration(100))
    assert [finding.tone for finding in found] == ["good"] * 4
    assert "Pixel intervals hold" in found[0].title


@pytest.mark.parametrize(("factor", "words"), [(0.7, "too narrow"), (1.4, "wider than needed")])
def test_wrong_intervals_are_named_and_mended(tmp_path, factor, words):
    found = calibration(60, factor)
    assert [words in finding.title for finding in findings(found)[:2]] == [True, True]
    assert findings(found)[3].tone == "watch"  # told apart
    page = calibration_report(found, path=tmp_path / "page.html", title="A <test>").read_text()
    mended = re.search(r"sf\.recalibrated\(samples, ([0-9.]+)\)", page)
    assert mended is not None
    # 3840 independent pixels: a factor to within some per cent; the mean of 19 draws varies with them
    assert float(mended[1]) == pytest.approx(math.sqrt((1 + factor**2 / 19) / (1 + 1 / 19)) / factor, rel=0.08)
    assert "A &lt;test&gt;" in page
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)
    assert page.count("data:image/png") == 4


@pytest.mark.parametrize("z", [0.0, 30.0])
def test_the_advice_heeds_the_misfit(tmp_path, z):
    """Intervals that hold are to be used as they are, unless the draws do not fit the data."""
    page = calibration_report(calibration(100, z=z), path=tmp_path / "page.html").read_text()
    assert ("Use the intervals as they are" in page) == (z == 0)
    assert ("Find out why before using the intervals: draws miss the data" in page) == (z > 0)
    assert "nothing is seen to be wrong" not in page


def test_misfit_is_found_either_way():
    assert [findings(calibration(50, z=z))[2].tone for z in (0.0, 3.0, -3.0)] == ["good", "watch", "watch"]


def test_few_scans_promise_nothing(tmp_path):
    """One pixel value a scan, shared by all pixels, in a dozen scans."""
    results = []
    for number in range(12):
        stack = (5 + normal(20, 1, 1, 1, seed=number)).expand(-1, -1, 8, 8)
        seen = observe(stack[0], stack[1:], torch.Generator().manual_seed(number))
        results.append(SimulatedScan(seen, calibration(2).scans[0].numbers))
    found = Calibration(tuple(results), ORIGIN)
    assert "Too few scans" in findings(found)[0].title
    assert "Simulate more scans" in calibration_report(found, path=tmp_path / "page.html").read_text()


def test_many_draws_share_bars(tmp_path):
    assert calibration_report(calibration(3, n=50), path=tmp_path / "page.html").exists()


def test_a_path_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError):
        calibration_report(calibration(2), path=tmp_path)


def test_scans_of_one_image_are_called_what_they_are(tmp_path):
    """Four scans of one image: no verdict for other images, however right the numbers are."""
    images = FromImages([torch.zeros(1, 8, 8)])
    assert Cropped(images, 4).different == 1
    found = replace(calibration(100), origin={**ORIGIN, "different_truths": 1})
    shared, pixels, regions, _, ranks = findings(found)
    assert (shared.tone, shared.title) == ("watch", "100 scans of one image are not independent")
    assert "say nothing of others" in shared.text
    assert [pixels.tone, regions.tone, ranks.tone] == ["note"] * 3
    assert ranks.title == "Ranks were not tested"
    page = calibration_report(found, path=tmp_path / "page.html").read_text()
    assert "Use the intervals as they are" not in page
    enough = replace(calibration(100), origin={**ORIGIN, "different_truths": 400})
    assert [finding.tone for finding in findings(enough)] == ["good"] * 4


def test_a_test_of_ranks_states_its_power():
    """Half of the truths below all draws: noticed in 60 scans of the size that is said to be noticed, not in 4."""
    assert findings(calibration(4))[3].title == "Too few scans to test the ranks"
    text = findings(calibration(60))[3].text
    said = re.search(r"below (\d+)% is not noticed", text)
    assert said is not None
    assert 15 <= int(said[1]) <= 25  # 1.79 / sqrt(60) = 23 % for many draws (Kolmogorov)


def test_the_record_of_a_calibration_names_files_and_no_folders(tmp_path):
    images = FromImages(Images([str(write(torch.rand(1, 16, 16), tmp_path / "one.npy"))]))
    assert str(tmp_path) not in repr(images)
    assert "one.npy" in repr(images)


def of_errorbar(drawn: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,), and the ends of their bars (2, n)."""
    line, _, (bars,) = drawn
    return np.asarray(line.get_ydata() if line else [], float), np.array(bars.get_segments())[:, :, 1].T


def shown(axes: Any, heights: Any) -> bool:
    """Whether the axis shows all of what is drawn at these heights."""
    low, high = axes.get_ylim()
    return low < high and bool((heights >= low).all() and (heights <= high).all())


@pytest.mark.parametrize("factor", [0.1, 1.0])
def test_the_chart_of_coverage_shows_all_of_it_with_two_standard_errors(factor):
    found = calibration(20, factor)
    axes = figures.coverage(found).axes[0]
    expected = np.asarray(axes.lines[0].get_ydata())
    for kind, drawn in zip((found.pixels, found.regions), axes.containers, strict=True):
        values, ends = of_errorbar(drawn)
        wanted = [kind.coverage(level) for level in LEVELS]
        np.testing.assert_allclose(values, [c.observed for c in wanted])
        np.testing.assert_allclose(ends, [[c.observed + k * c.error for c in wanted] for k in (-2, 2)])
        np.testing.assert_allclose(expected, [c.expected for c in wanted])
        assert shown(axes, values)
    assert axes.get_xticks().tolist() == list(LEVELS)
    assert shown(axes, np.array([0.3, 1.0]))  # right intervals look alike on all pages
    assert shown(axes, expected)


@pytest.mark.parametrize("n", [7, 19, 50])
def test_the_chart_of_ranks_is_their_frequency_over_a_perfect_samplers(n):
    found = calibration(6, 0.5, n=n).pixels
    axes = figures.ranks(found).axes[0]
    heights = np.array([bar.get_height() for bar in axes.containers[0]])  # pyright: ignore
    edges = np.ceil(np.arange(len(heights) + 1) * (n + 1) / len(heights)).astype(int)  # of equal shares of 0 .. n
    sizes = np.diff(edges) / (n + 1)
    shares = [[((row >= low) & (row < high)).mean() for low, high in pairwise(edges)] for row in found.ranks.numpy()]
    np.testing.assert_allclose(heights, np.mean(shares, 0) / sizes)
    errors = 2 * np.std(shares, 0, ddof=1) / sizes / math.sqrt(6)
    np.testing.assert_allclose(of_errorbar(axes.containers[1])[1], [heights - errors, heights + errors])
    assert shown(axes, np.array([0.0, 1.0, (heights + errors).max()]))
    assert axes.get_ylim()[0] == 0
    names = [int(label.get_text()) for label in axes.get_xticklabels()]
    assert (names[0], names[-1]) == (0, n)
    ranks = np.array(names)  # each name is a rank of the bar under which it stands
    assert (np.searchsorted(edges, ranks, side="right") - 1 == axes.get_xticks()).all()
    assert len(heights) == min(n + 1, 20)


def test_the_chart_of_tarp_is_the_excess_below_each_rank():
    found = calibration(30, 0.7)
    axes = figures.tarp(found).axes[0]
    expected, drawn = (np.asarray(values) for values in axes.lines[0].get_data())
    ranks = found.tarp_ranks.numpy()
    np.testing.assert_allclose(expected, np.arange(1, 20) / 20)
    np.testing.assert_allclose(drawn, [(ranks <= k).mean() - (k + 1) / 20 for k in range(19)], atol=1e-12)
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1]
    assert band.min() < 0 < band.max()
    assert shown(axes, np.concatenate([drawn, band]))
    assert sum(axes.get_ylim()) == 0
