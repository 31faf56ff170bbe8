"""The page: valid, self-contained, escaped, whole or absent, and right in its numbers."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scorefield import operators
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import psnr
from scorefield.noise import White
from scorefield.randomness import normal_like
from scorefield.reports import View, report
from scorefield.reports.html import SHOWN
from scorefield.reports.page import shown
from scorefield.runs.cost import Cost
from scorefield.samples import Samples
from scorefield.units import WATER

VOID = {"meta", "img", "input", "br", "link", "fefuncr", "fefuncg", "fefuncb"}


class Page(HTMLParser):
    """Checks that tags nest, and collects what tests ask for."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.data: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ""
        if where == "script":
            self.data[str(self.tags[-1][1].get("id"))] = data
        elif where != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


def decode(uri: str | None) -> np.ndarray:
    assert uri is not None
    assert uri.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2], validate=True))))


def viewer(page: Page) -> dict[str, Any]:
    """What the script of a page gets."""
    return json.loads(page.data["viewer-data"])


def picture(data: dict[str, Any], number: int) -> np.ndarray:
    """The values of a stored picture."""
    raster, count = data["planes"][number], data["rows"] * data["columns"]
    plain = np.frombuffer(zlib.decompress(base64.b64decode(raster["data"])), np.uint8).astype(np.int64)
    differences = (plain[:count] * 256 + plain[count:]).reshape(data["rows"], data["columns"])
    return raster["low"] + raster["step"] * (differences.cumsum(1) % 65536)


def case(
    shape: tuple[int, ...] = (1, 24, 20),
    n: int = 8,
    *,
    dtype: torch.dtype = torch.float64,
    shift: float = 3.0,
):
    """Exact posterior draws for x0 ~ N(shift, 1), the scan they explain, and the truth."""
    generator = torch.Generator().manual_seed(0)
    v = 0.2**2
    truth = shift + normal_like(torch.zeros(shape, dtype=dtype), generator)
    y = truth + 0.2 * normal_like(truth, generator)
    mean, spread = shift + (y - shift) / (1 + v), (v / (1 + v)) ** 0.5
    draws = mean + spread * normal_like(torch.zeros(n, *shape, dtype=dtype), generator)
    cost = Cost(forward=33 * n, backward=66 * n, operator=500, seconds=12.3, peak_memory_mb=456.0, draws=n)
    provenance = {"prior": "Gaussian", "sigmas": [float(s) for s in np.linspace(1, 0, 33)], "seed": 7}
    return Samples(draws, cost, provenance), Measurement(y, operators.Identity(shape), White(0.2)), truth


def written(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_parses_and_every_picture_decodes_and_is_described(tmp_path: Path):
    samples, measurement, truth = case()
    path = report(samples, measurement, path=tmp_path / "r.html", truth=truth, baselines={"Data": measurement.y[0]})
    page = written(path)
    for image in page.images:
        pixels = decode(image["src"])
        assert image.get("alt")
        if image.get("class") == "pixels":
            assert pixels.shape[:2] == (24, 20)
            assert int(str(image["width"])) == 14 * 20  # 340 // 24, whole
            assert int(str(image["height"])) == 14 * 24
    # reference, baseline, mean, draw; std, width; two errors; three charts; three scale bars
    assert len(page.images) == 4 + 2 + 2 + 3 + 3
    low, high = 0.0, float(np.quantile(truth.numpy(), 0.998))
    wanted = np.clip((samples.draws[0, 0].numpy() - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(decode(page.images[3]["src"]), wanted, atol=0.51)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_every_picture_is_stored_in_16_bits(tmp_path: Path, dtype: torch.dtype):
    samples, measurement, truth = case(dtype=dtype)
    baselines = {"Data": measurement.y[0]}
    page = written(report(samples, measurement, path=tmp_path / "r.html", truth=truth, baselines=baselines))
    data = viewer(page)
    shown = samples.magnitudes
    mean = samples.mean
    images = [truth.abs() if dtype.is_complex else truth, measurement.y[0], mean, *shown.draws]
    images = [image.abs() if dtype.is_complex else image for image in images]
    reach = float(torch.stack(images).max() - torch.stack(images).min())
    stored = [data["reference"], data["others"][0]["plane"], data["panels"][2]["plane"], *data["draws"]]
    for plane, image in zip(stored, images, strict=True):
        np.testing.assert_allclose(picture(data, plane), image[0].numpy(), atol=0.51 * reach / 65535)
    spread, width = (picture(data, panel["plane"]) for panel in data["panels"][4:6])
    low, high = samples.interval(0.9)
    np.testing.assert_allclose(spread, shown.std[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(width, (high - low)[0].numpy(), atol=1e-4)
    phases = [panel for panel in data["panels"] if panel["name"] == "Phase of the mean"]
    assert len(phases) == dtype.is_complex
    for panel in phases:
        np.testing.assert_allclose(picture(data, panel["plane"]), np.rad2deg(mean[0].angle().numpy()), atol=360 / 65535)
    errors = [panel for panel in data["panels"] if panel["minus"] is not None]
    assert [(panel["plane"], panel["minus"]) for panel in errors] == [(plane, stored[0]) for plane in stored[1:3]]


def test_attenuation_is_read_in_hounsfield_units(tmp_path: Path):
    samples, measurement, truth = case()
    scale = WATER / 3  # 3 becomes water
    inside = (
        Samples(scale * samples.draws),
        Measurement(scale * measurement.y, measurement.operator, White(scale * 0.2)),
    )
    page = written(report(*inside, path=tmp_path / "r.html", truth=scale * truth, view=View("1/mm")))
    data = viewer(page)
    assert data["unit"] == "HU"
    reference = picture(data, data["reference"])
    np.testing.assert_allclose(reference, 1000 * (truth[0].numpy() / 3 - 1), atol=0.05)
    spread = next(panel for panel in data["panels"] if panel["name"] == "Standard deviation")
    np.testing.assert_allclose(picture(data, spread["plane"]), samples.std[0].numpy() * 1000 / 3, atol=0.05)
    for name, low, high in (("Brain", 0, 80), ("Soft tissue", -160, 240), ("Lung", -1350, 150), ("Bone", -500, 1300)):
        (button,) = [a for tag, a in page.tags if tag == "button" and a.get("data-low") == f"{low}.0" and name]
        assert button["data-high"] == f"{high}.0"
    assert "HU wide on average" in page.text
    plain = written(report(samples, measurement, path=tmp_path / "r.html", truth=truth))
    assert viewer(plain)["unit"] == "image unit"
    assert "Brain" not in plain.text


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_draws_are_sorted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype):
    samples, measurement, truth = case(dtype=dtype)
    sorts, sort = [], torch.Tensor.sort
    monkeypatch.setattr(
        torch.Tensor, "sort", lambda x, *options, **more: (sorts.append(x), sort(x, *options, **more))[1]
    )
    report(samples, measurement, path=tmp_path / "r.html", truth=truth)
    assert [x.shape for x in sorts if x.shape == samples.draws.shape] == [samples.draws.shape]


def test_nothing_is_fetched(tmp_path: Path):
    samples, measurement, truth = case()
    text = report(samples, measurement, path=tmp_path / "r.html", truth=truth).read_text(encoding="utf-8")
    assert not re.search(r"https?:|//\w+\.|@import|@font-face", text)
    assert "default-src 'none'" in text
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed"}
        assert (attributes.get("src") or "data:").startswith("data:")
        assert "href" not in attributes


def test_the_numbers_are_the_metrics(tmp_path: Path):
    samples, measurement, truth = case()
    baselines = {"Data": measurement.y[0]}
    page = written(report(samples, measurement, path=tmp_path / "r.html", truth=truth, baselines=baselines))
    peak = float(truth.abs().max())
    ours, theirs = psnr(samples.mean, truth, peak=peak), psnr(measurement.y[0], truth, peak=peak)
    assert f"{ours:.2f}" in page.text
    assert f"{theirs:.2f}" in page.text
    word = "better" if ours > theirs else "worse"
    assert f"{abs(ours - theirs):.1f} dB {word} than the best baseline" in page.text
    assert "Consistent with the scan" in page.text
    assert "480 real measurements" in page.text
    assert "Intervals hold on this image" in page.text
    assert "7 \N{MULTIPLICATION SIGN} 7" in page.text
    for cell in ("33", "12.3", "456", "33 values, 1 … 0.0312, 0"):
        assert cell in page.text


def test_the_verdict_follows_the_draws(tmp_path: Path):
    samples, measurement, truth = case()
    center = samples.mean
    for factor, words in ((0.3, "Over-confident"), (3.0, "Cautious")):
        spread = Samples(center + factor * (samples.draws - center), samples.cost, samples.provenance)
        page = written(report(spread, measurement, path=tmp_path / "r.html", truth=truth))
        assert words in page.text
        assert "fit the scan" in page.text
        assert "Consistent with the scan" not in page.text
    worse = written(
        report(samples, measurement, path=tmp_path / "r.html", truth=truth, baselines={"Truth": truth + 1e-3})
    )
    assert "worse than the best baseline" in worse.text


def test_everything_of_the_callers_is_escaped(tmp_path: Path):
    samples, measurement, truth = case()
    evil = "</script><script>alert('x')</script><b>&\""
    path = report(
        Samples(samples.draws, samples.cost, {"prior": evil}),
        measurement,
        path=tmp_path / "r.html",
        truth=truth,
        baselines={evil: truth + 0.1},
        title=evil,
        view=View(evil),
        card={evil: evil},
    )
    page = written(path)
    assert sum(tag == "script" for tag, _ in page.tags) == 3
    assert evil in {other["name"] for other in viewer(page)["others"]}
    assert not any(tag == "b" for tag, _ in page.tags)
    assert page.text.count("alert('x')") >= 6


def test_without_a_reference_accuracy_is_not_claimed(tmp_path: Path):
    samples, measurement, _ = case()
    page = written(report(samples, measurement, path=tmp_path / "r.html", baselines={"Data": measurement.y[0]}))
    assert "Accuracy not measured" in page.text
    assert "Error against the reference" not in page.text
    assert "Intervals hold" not in page.text
    assert "dB better" not in page.text
    assert [i["alt"] for i in page.images if str(i["alt"]).startswith("Reference")] == []


def test_complex_draws_are_shown_by_magnitude_and_judged_where_there_is_signal(tmp_path: Path):
    samples, measurement, truth = case(dtype=torch.complex128)
    truth = truth.clone()
    truth[..., :10] = 0  # a background that magnitudes of draws cannot cover
    y = measurement.y.clone()
    y[..., :10] *= 1e-3
    draws = samples.draws.clone()
    draws[..., :10] = 1e-3 * normal_like(draws[..., :10], torch.Generator().manual_seed(1))
    page = written(
        report(
            Samples(draws),
            Measurement(y, measurement.operator, White(0.2)),
            path=tmp_path / "r.html",
            truth=truth,
        )
    )
    assert "complex image" in page.text
    assert "magnitude" in page.text
    assert "Intervals hold on this image" in page.text
    data = viewer(page)
    np.testing.assert_allclose(picture(data, data["draws"][2]), draws[2, 0].abs().numpy(), atol=1e-3)


def test_volumes_show_their_central_slice_and_many_draws_are_cut_with_a_word(tmp_path: Path):
    samples, measurement, truth = case((1, 3, 12, 10), n=SHOWN + 2)
    page = written(report(samples, measurement, path=tmp_path / "r.html", truth=truth))
    assert "slice 2 of 3" in page.text
    assert f"first {SHOWN} of {SHOWN + 2} draws" in page.text
    assert len(viewer(page)["draws"]) == SHOWN


def test_a_page_of_large_images_holds_fewer_draws():
    sizes = {64: SHOWN, 512: 30, 1024: 8, 4096: 8}
    assert {n: shown(torch.empty(1, n, n, device="meta")) for n in sizes} == sizes


def test_a_window_is_kept(tmp_path: Path):
    samples, measurement, truth = case()
    page = written(report(samples, measurement, path=tmp_path / "r.html", truth=truth, view=View("HU", (2.0, 4.0))))
    assert "2 to 4 HU" in page.text
    reference = np.clip((truth[0].numpy() - 2) / 2, 0, 1) * 255
    np.testing.assert_allclose(decode(page.images[0]["src"]), reference, atol=0.51)


def test_images_are_hung_for_a_radiologist_with_the_pixels_of_the_patient(tmp_path: Path):
    samples, measurement, truth = case((1, 24, 20))
    affine = np.array([[2.0, 0, 0, -20], [0, 3.0, 0, -30], [0, 0, 5.0, 0], [0, 0, 0, 1]])  # i right, j to the front
    view = View(affine=affine, spacing=(2.0, 3.0))
    page = written(report(samples, measurement, path=tmp_path / "r.html", truth=truth, view=view))
    low, high = 0.0, float(np.quantile(truth.numpy(), 0.998))
    wanted = np.clip((truth[0].numpy()[::-1, ::-1].T - low) / (high - low), 0, 1) * 255  # front up, right on the left
    np.testing.assert_allclose(decode(page.images[0]["src"]), wanted, atol=0.51)
    assert (page.images[0]["width"], page.images[0]["height"]) == (str(11 * 24), str(11 * 30))  # 48 x 60 mm, 340 // 30
    assert "turned as radiologists hang them, with pixels 3 mm high and 2 mm wide" in page.text
    assert "24 by 20 pixels" in str(page.images[0]["alt"])


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path):
    samples, measurement, truth = case()
    file = tmp_path / "file"
    file.write_text("kept")
    for path in (file / "r.html", tmp_path):
        with pytest.raises(InputError, match="write"):
            report(samples, measurement, path=path, truth=truth)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "kept"
    target = tmp_path / "r.html"
    target.write_text("old")
    with pytest.raises(InputError, match="shape"):
        report(samples, measurement, path=target, truth=truth[..., :5])
    assert target.read_text() == "old"


def test_bad_input_is_named(tmp_path: Path):
    samples, measurement, truth = case()
    target = tmp_path / "r.html"
    with pytest.raises(InputError, match="two draws"):
        report(Samples(samples.draws[:1]), measurement, path=target)
    with pytest.raises(InputError, match="'Odd'"):
        report(samples, measurement, path=target, baselines={"Odd": truth[:, :3]})
    with pytest.raises(InputError, match="window"):
        report(samples, measurement, path=target, view=View(window=(1.0, 1.0)))
    assert not list(tmp_path.iterdir())
