"""The content of a report's page: panels with their stored pictures, findings, charts and the table, in order."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scorefield.data.display import Plane, Window, default_window, digits, embed, png, scale_bar, top
from scorefield.data.view import View
from scorefield.metrics import Evaluation, evaluate, interval_width, psnr, uncertain_region
from scorefield.metrics.uncertainty import BACKGROUND
from scorefield.reports import figures, findings
from scorefield.reports.raster import Raster, span, store
from scorefield.reports.reading import reading_of
from scorefield.trust.assess import recorded_likeness, recorded_prediction
from scorefield.trust.residual import ResidualCheck

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from scorefield.samples import Samples

TIMES = "\N{MULTIPLICATION SIGN}"
SHOWN = 32  # draws in the page: more make the file large, not the impression better
FEWEST, LARGE = 8, 8_000_000  # draws that a page of large images holds at least, pixels of draws at most
SPREAD, ERROR, PHASE = "cividis", "RdBu_r", "twilight"
TURN = (-180.0, 180.0)


@dataclass(frozen=True)
class Scale:
    """A color bar: the map from left to right, its ends and its unit."""

    uri: str
    low: str
    middle: str
    high: str
    label: str


@dataclass(frozen=True)
class Panel:
    """One picture of the page; ``number`` is its place among the panels of the viewer."""

    number: int
    name: str
    uri: str
    alt: str
    note: str
    width: int
    height: int
    scale: Scale | None = None


@dataclass(frozen=True)
class Chart:
    """One chart of the page."""

    name: str
    uri: str
    alt: str
    note: str


@dataclass
class Viewer:
    """What the page's script gets: stored pictures, and the panels that show them."""

    planes: list[Raster] = field(default_factory=list)
    panels: list[dict[str, Any]] = field(default_factory=list)

    def add(self, raster: Raster) -> int:
        """Store one more picture; its number."""
        self.planes.append(raster)
        return len(self.planes) - 1


class Page:
    """The content of a page.

    Args:
        samples: the draws.
        truth: the reference image, if there is one.
        baselines: other reconstructions by name.
        view: how images are shown.
    """

    def __init__(self, samples: Samples, truth: Tensor | None, baselines: Mapping[str, Tensor], view: View):
        self.samples, self.truth, self.baselines, self.view = samples, truth, baselines, view
        self.reading = reading_of(view.unit)
        self.level = f"{findings.LEVEL:.0%}"
        self.region = None if truth is None else uncertain_region(samples, truth)
        self.result: Evaluation | None = None if truth is None else evaluate(samples, truth, level=findings.LEVEL)
        named = {**({} if truth is None else {"Reference": truth}), **baselines, findings.MEAN: samples.mean}
        self.images = {name: self.reading.values(view.plane(image)) for name, image in named.items()}
        self.draws = [self.reading.values(view.plane(draw)) for draw in samples.draws[: shown(samples.mean)]]
        raw = view.window or default_window(view.plane(samples.mean if truth is None else truth))
        self.window = self.reading.window(raw)
        self.viewer = Viewer()
        self.ends = span(*self.images.values(), *self.draws)

    def context(self, check: ResidualCheck) -> dict[str, Any]:
        """The variables of the template."""
        before = [self._gray(name, picture, self._score(name)) for name, picture in self.images.items()]
        draw, numbers = self._player()
        after = [*self._spreads(), *self._phase()]
        errors = self._errors({panel.name: self.viewer.panels[panel.number]["plane"] for panel in before})
        low, high = (digits(end) for end in self.window)
        return {
            "summary": self._summary(),
            "findings": self._findings(check),
            "columns": findings.COLUMNS,
            "rows": findings.table(self.samples, self.truth, self.result, self.baselines),
            "conventions": self._conventions(),
            "before": before,
            "draw": draw,
            "drawn": len(self.draws),
            "draw_count": len(self.samples.draws),
            "after": after,
            "window": {"low": low, "high": high},
            "presets": [{"name": "Default", "low": self.window[0], "high": self.window[1]}, *self._presets()],
            "shown": self.view.note(tuple(self.samples.draws.shape[1:]), self.samples.draws.is_complex()),
            "errors": errors,
            "error_scale": self.viewer.panels[errors[0].number]["scale"] if errors else None,
            "charts": self._charts(check),
            "unit": self.reading.unit,
            "viewer": self._script(before, draw, numbers),
        }

    def _presets(self) -> list[dict[str, Any]]:
        return [{"name": p.name, "low": p.window[0], "high": p.window[1]} for p in self.reading.presets]

    def _script(self, before: list[Panel], draw: Panel, numbers: list[int]) -> dict[str, Any]:
        """The data of the page's script."""
        stored = {panel.name: self.viewer.panels[panel.number]["plane"] for panel in before}
        rows, columns = self.draws[0].shape
        low, high = np.quantile(np.stack([*self.images.values()]), (0.0005, 0.9995))
        pixel = self.view.pixel
        return {
            "rows": rows,
            "columns": columns,
            "unit": self.reading.unit,
            "pixel_area": None if pixel is None else pixel[0] * pixel[1],
            "level": findings.LEVEL,
            "window": self.window,
            "range": (min(float(low), self.window[0]), max(float(high), self.window[1])),
            "planes": [asdict(plane) for plane in self.viewer.planes],
            "panels": [{k: v for k, v in panel.items() if k != "scale"} for panel in self.viewer.panels],
            "draws": numbers,
            "draw_count": len(self.samples.draws),
            "player": draw.number,
            "reference": stored.get("Reference"),
            "others": [{"name": name, "plane": stored[name]} for name in self.baselines],
            "colors": {name: _palette(name) for name in (SPREAD, ERROR, PHASE)},
        }

    def _summary(self) -> str:
        draws = self.samples.draws
        kind = "complex " if draws.is_complex() else ""
        size = f" {TIMES} ".join(map(str, draws.shape[2:]))
        return f"{len(draws)} posterior draws of one {kind}image, {size} pixels"

    def _findings(self, check: ResidualCheck) -> list[findings.Finding]:
        likeness, prediction = recorded_likeness(self.samples.provenance), recorded_prediction(self.samples.provenance)
        scores = {}
        if self.result is not None and self.truth is not None:
            scores = {n: psnr(x, self.truth, peak=self.result.peak) for n, x in self.baselines.items()}
        return [
            findings.misfit(check),
            *([findings.likeness(likeness)] if likeness else []),
            *([findings.prediction(prediction)] if prediction else []),
            findings.accuracy(self.result, scores),
            findings.uncertainty(self.samples, self.truth, self.result, self.reading),
        ]

    def _conventions(self) -> str:
        cost = (
            "Network evaluations are forward passes per draw; time is for all draws;"
            " peak memory is of the process or device."
        )
        if self.result is None:
            return cost
        how = "values" if self.region is None else "magnitudes"
        signal = f", among pixels whose posterior mean exceeds {BACKGROUND:.0%} of that maximum"
        where = "" if self.region is None else signal
        return (
            f"Scores compare {how} over the whole image. PSNR is relative to the reference's maximum,"
            f" {digits(self.result.peak)} {self.view.unit}; SSIM has a uniform 7 {TIMES} 7 window and that"
            " maximum as data range (the fastMRI convention). Coverage is the part of pixels whose true value"
            f" lies in the central {self.level} interval{where}; {len(self.samples.draws)} perfect draws"
            f" would reach {self.result.expected_coverage:.1%}. {cost}"
        )

    def _panel(self, name: str, picture: Plane, window: Window, colors: str, note: str, **script: Any) -> Panel:
        """A panel of the page, and its twin in the viewer: ``plane``, perhaps ``minus``, ``unit``, ``scale``."""
        (rows, columns), (height, width) = picture.shape, self.view.size(picture)
        low, high = (digits(end) for end in window)
        twin = {"name": name, "minus": None, "unit": self.reading.unit, "window": window, "colors": colors, **script}
        alt = f"{name}: {columns} by {rows} pixels, shown from {low} to {high} {twin['unit']}"
        number, scale = len(self.viewer.panels), twin.setdefault("scale", None)
        self.viewer.panels.append(twin)
        uri = png(picture, window, colors)
        return Panel(number, name, uri, alt, note, width, height, None if twin["minus"] is not None else scale)

    def _gray(self, name: str, picture: Plane, note: str = "") -> Panel:
        plane = self.viewer.add(store(picture, self.ends))
        return self._panel(name, picture, self.window, "gray", note, plane=plane)

    def _score(self, name: str) -> str:
        image = {**self.baselines, findings.MEAN: self.samples.mean}.get(name)
        if self.truth is None or self.result is None or image is None:
            return ""
        return f"{psnr(image, self.truth, peak=self.result.peak):.1f} dB"

    def _player(self) -> tuple[Panel, list[int]]:
        """The panel of the draws, and the numbers of their pictures."""
        panel = self._gray("Draw 1", self.draws[0])
        first = self.viewer.panels[panel.number]["plane"]
        return panel, [first, *(self.viewer.add(store(draw, self.ends)) for draw in self.draws[1:])]

    def _spreads(self) -> list[Panel]:
        named = {
            "Standard deviation": self.samples.magnitudes.std,
            f"Width of the {self.level} interval": interval_width(self.samples, findings.LEVEL),
        }
        panels = []
        for name, image in named.items():
            picture = self.reading.differences(self.view.plane(image))
            end = top(picture)
            scale = Scale(scale_bar(SPREAD), "0", digits(end / 2), f"≥ {digits(end)}", self.reading.unit)
            plane = self.viewer.add(store(picture))
            panels.append(self._panel(name, picture, (0.0, end), SPREAD, "", plane=plane, scale=scale))
        return panels

    def _phase(self) -> list[Panel]:
        mean = self.samples.mean
        if not mean.is_complex():
            return []
        picture = self.view.plane(torch.rad2deg(mean.angle()))
        scale = Scale(scale_bar(PHASE), "\N{MINUS SIGN}180", "0", "180", "degrees")
        plane = self.viewer.add(store(picture, TURN))
        return [self._panel("Phase of the mean", picture, TURN, PHASE, "", plane=plane, scale=scale, unit="°")]

    def _errors(self, planes: Mapping[str, int]) -> list[Panel]:
        if self.truth is None:
            return []
        pictures = {name: p - self.images["Reference"] for name, p in self.images.items() if name != "Reference"}
        limit = top(pictures[findings.MEAN])
        label = f"{self.reading.unit}, image minus reference"
        ends = f"≤ \N{MINUS SIGN}{digits(limit)}", "0", f"≥ {digits(limit)}"
        script = {"minus": planes["Reference"], "scale": Scale(scale_bar(ERROR), *ends, label)}
        window = (-limit, limit)
        return [
            self._panel(f"{name}: error", picture, window, ERROR, "", plane=planes[name], **script)
            for name, picture in pictures.items()
        ]

    def _charts(self, check: ResidualCheck) -> list[Chart]:
        count = f"{check.count:,} real measurements"
        note = (
            f"{count}. If prior, operator and noise are right, each draw's squared misfit, in units of the"
            f" noise, is {check.count:,} ± {math.sqrt(2 * check.count):,.0f}, and between {check.low:,.0f}"
            f" and {check.high:,.0f} for 95% of scans; the mean of these draws is {check.mean:,.0f}"
            f" (z = {check.z:+.1f})."
        )
        fit = Chart("Agreement with the scan", picture_of(figures.residuals(check)), f"Misfit by draw. {note}", note)
        if self.truth is None or self.result is None:
            return [fit]
        covered = (
            f"At {self.level} the intervals cover {self.result.coverage:.1%}; a perfect sampler with"
            f" {len(self.samples.draws)} draws covers {self.result.expected_coverage:.1%}."
            " Neighboring pixels err together, so one image shows trends, not proof."
        )
        ranked = (
            "Flat is right. Tall ends mean intervals too narrow, a hump too wide, a slope a bias."
            " Ties share their weight."
        )
        curve = picture_of(figures.coverage_curve(self.samples, self.truth, mask=self.region))
        histogram = picture_of(figures.ranks(self.samples, self.truth, mask=self.region))
        return [
            Chart("Coverage of the intervals", curve, f"Observed against nominal coverage. {covered}", covered),
            Chart("Rank of the reference", histogram, f"Histogram of ranks. {ranked}", ranked),
            fit,
        ]


def shown(image: Tensor) -> int:
    """How many draws of images like this one (C, *spatial) a page holds."""
    return min(SHOWN, max(FEWEST, LARGE // (image.shape[-1] * image.shape[-2])))


def _palette(colormap: str) -> str:
    """256 colors of three bytes each, from low to high, in base64."""
    from matplotlib import colormaps

    colors = np.rint(255 * colormaps[colormap](np.linspace(0, 1, 256))[:, :3]).astype(np.uint8)
    return base64.b64encode(colors.tobytes()).decode("ascii")


def picture_of(figure: Figure) -> str:
    """A figure as a data URI, with a transparent ground."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)  # twice the page's 100, for sharp text on dense screens
    return embed(buffer.getvalue())
