"""The page about a calibration: what it says of right, narrow, wide and too few intervals."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch

from scorefield.calibration import Calibration, Cropped, FromImages, SimulatedScan, observe
from scorefield.data import Images, write
from scorefield.errors import InputError
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
