"""The page: valid, self-contained, escaped, whole or absent, and right in its numbers."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

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
from scorefield.runs.cost import Cost
from scorefield.samples import Samples

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
    draws = json.loads(page.data["draw-data"])
    assert len(draws) == 8
    low, high = 0.0, float(np.quantile(truth.numpy(), 0.998))
    for uri, draw in zip(draws, samples.draws, strict=True):
        wanted = np.clip((draw[0].numpy() - low) / (high - low), 0, 1) * 255
        np.testing.assert_allclose(decode(uri), wanted, atol=0.51)
    assert page.images[3]["src"] == draws[0]


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
    assert "calibrated" in page.text
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
        assert "Does not fit the scan" in page.text
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
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    assert not any(tag == "b" for tag, _ in page.tags)
    assert page.text.count("alert('x')") >= 6


def test_without_a_reference_accuracy_is_not_claimed(tmp_path: Path):
    samples, measurement, _ = case()
    page = written(report(samples, measurement, path=tmp_path / "r.html", baselines={"Data": measurement.y[0]}))
    assert "Accuracy not measured" in page.text
    assert "Error against the reference" not in page.text
    assert "calibrated" not in page.text
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
    assert "Uncertainty is calibrated" in page.text
    pixels = decode(json.loads(page.data["draw-data"])[2])
    high = float(np.quantile(truth.abs().numpy(), 0.998))
    np.testing.assert_allclose(pixels, np.clip(draws[2, 0].abs().numpy() / high, 0, 1) * 255, atol=0.51)


def test_volumes_show_their_central_slice_and_many_draws_are_cut_with_a_word(tmp_path: Path):
    samples, measurement, truth = case((1, 3, 12, 10), n=SHOWN + 2)
    page = written(report(samples, measurement, path=tmp_path / "r.html", truth=truth))
    assert "slice 2 of 3" in page.text
    assert f"first {SHOWN} of {SHOWN + 2} draws" in page.text
    assert len(json.loads(page.data["draw-data"])) == SHOWN


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
