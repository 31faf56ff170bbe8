"""The script of a page, run by a browser: windows, readout, zoom, draws, regions and the theme, through its events."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scorefield import operators
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.reports import View, report
from scorefield.samples import Samples
from scorefield.units import WATER
from support import normal

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHAPE = (1, 20, 30)
SCRIPT = Path(__file__).with_name("viewer_events.js")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="the script of a page needs a Chromium to run")


@pytest.fixture(scope="module")
def case() -> tuple[Samples, torch.Tensor]:
    draws = WATER * (1 + 0.1 * normal(19, *SHAPE))
    return Samples(draws), WATER * (1 + 0.1 * normal(*SHAPE, seed=1))


@pytest.fixture(scope="module")
def found(case: tuple[Samples, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page said after the events of the script."""
    samples, truth = case
    folder = tmp_path_factory.mktemp("page")
    scan = Measurement(truth, operators.Identity(SHAPE), White(0.1 * WATER))
    page = report(
        samples, scan, path=folder / "r.html", truth=truth, baselines={"Other": truth + WATER},
        view=View("1/mm", window=(0.5 * WATER, 1.5 * WATER), spacing=(2.0, 2.0)),
    )  # fmt: skip
    script = SCRIPT.read_text().replace("COLUMNS", "30").replace("ROWS", "20").replace("PLAYER", "3")
    page.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--force-prefers-reduced-motion",
        "--blink-settings=preferredColorScheme=1", f"--user-data-dir={folder / 'profile'}", "--window-size=1280,1600",
        "--virtual-time-budget=20000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout
    answer = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert answer is not None, dom[-2000:]
    plain = json.loads(html.unescape(answer[1]))
    assert "error" not in plain, plain
    return plain


def hounsfield(image: torch.Tensor) -> np.ndarray:
    return 1000 * (image[0].numpy() / WATER - 1)


def grays(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(np.floor((values - low) / (high - low) * 256), 0, 255).astype(int).ravel()


def test_pictures_become_canvases_in_the_default_window(found, case):
    assert found["hidden"] == 0
    assert found["window"]["pressed"] == ["Default"]
    assert np.abs(np.array(found["grays"]) - grays(hounsfield(case[1]), -500, 500)).max() <= 1


def test_a_preset_shows_grays_that_8_bits_would_have_lost(found, case):
    assert (found["soft"]["pressed"], found["soft"]["level"], found["soft"]["width"]) == (["Soft tissue"], "40", "400")
    shown = np.array(found["soft_grays"])
    assert np.abs(shown - grays(hounsfield(case[1]), -160, 240)).max() <= 1
    assert len(np.unique(shown)) > 170  # of 600 pixels; a page of 8 bits over 1000 HU has at most 103 there


def test_sliders_change_level_and_width(found):
    assert found["narrow"]["pressed"] == []
    assert found["narrow"]["level"] == "40"
    assert float(found["narrow"]["width"]) < 40


def test_one_pixel_is_read_in_all_panels(found, case):
    samples, truth = case
    low, high = samples.interval(0.9)
    images = [truth, truth + WATER, samples.mean, samples.draws[0]]
    wanted = [hounsfield(image)[4, 7] for image in images]
    wanted += [float(image[0, 4, 7]) * 1000 / WATER for image in (samples.std, high - low)]
    wanted += [wanted[1] - wanted[0], wanted[2] - wanted[0]]
    assert found["place"] == "Row 4, column 7"
    assert all(text.endswith(" HU") for text in found["read"])
    read = [float(text.removesuffix(" HU").replace(",", "").replace("\N{MINUS SIGN}", "-")) for text in found["read"]]
    np.testing.assert_allclose(read, wanted, rtol=5e-3, atol=0.51)
    assert found["moved"] == "Row 5, column 17"


def test_wheel_keys_dragging_and_fingers_zoom_all_panels(found):
    assert found["wheel"] == pytest.approx({"zoom": np.exp(0.4), "x": 0, "y": 0}, abs=1e-3)
    assert found["whole"] == {"zoom": 1, "x": 0, "y": 0}
    assert found["plus"]["zoom"] == 1.25
    assert found["dragged"]["x"] == pytest.approx(found["plus"]["x"] + 0.1 / 1.25, abs=1e-6)
    assert found["pinched"]["zoom"] == pytest.approx(2.0, rel=1e-6)
    assert found["pinched"]["x"] == pytest.approx(0.25 + 0.5 / 30 * 0.5, abs=0.02)


def test_draws_are_chosen_and_played(found, case):
    assert found["playing"] == "Play"  # nothing moves by itself for a reader who prefers less motion
    assert found["draw"] == "4 of 19"
    low, high = 40 - float(found["narrow"]["width"]) / 2, 40 + float(found["narrow"]["width"]) / 2
    wanted = grays(hounsfield(case[0].draws[3]), low, high)
    assert np.mean(np.abs(np.array(found["draw_grays"]) - wanted) <= 8) > 0.99  # the width is spelled to 3 digits
    assert (found["play"], found["stopped"]) == ("Pause", "Play")


def test_a_region_gives_the_posterior_of_its_mean(found, case):
    samples, truth = case
    box = found["rectangle"]
    inside = np.s_[:, 0, 3:7, 4:10]
    check(box, samples.draws[inside].flatten(1).mean(1), 24)
    assert box["path"] == "M4 3h6v4h-6z"
    reference = hounsfield(truth)[3:7, 4:10].mean()
    said = re.search(r"Reference: (\S+) HU", box["text"])
    assert said is not None
    assert float(said[1].replace("\N{MINUS SIGN}", "-")) == pytest.approx(reference, rel=0.01, abs=0.1)
    assert "0.96 cm" in box["text"]
    rows, columns = np.mgrid[:20, :30]
    mask = torch.from_numpy(((rows - 7) / 5.5) ** 2 + ((columns - 7) / 5.5) ** 2 <= 1)
    check(found["ellipse"], samples.draws[:, 0][:, mask].mean(1), int(mask.sum()))
    assert found["cleared"]


def check(box: dict[str, str], means: torch.Tensor, pixels: int) -> None:
    values = Samples((1000 * (means / WATER - 1)).unsqueeze(1))
    low, high = values.interval(0.9)
    assert int(box["pixels"]) == pixels
    for name, wanted in {"mean": values.mean, "std": values.std, "low": low, "high": high}.items():
        assert float(box[name]) == pytest.approx(float(wanted), abs=0.05)


def test_the_page_turns_dark(found):
    assert (found["light"], found["dark"], found["button"]) == ("rgb(255, 255, 255)", "rgb(17, 22, 27)", "Light")
