"""One self-contained page: inline pictures, no downloads, and a few lines of JavaScript for the player.

A content-security policy of the page forbids all network access.  Every text that comes from the caller is
escaped.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from scorefield.data.display import Plane, Window, default_window, digits, embed, png, scale_bar, top
from scorefield.data.view import View
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import Evaluation, evaluate, interval_width, psnr, uncertain_region
from scorefield.metrics.uncertainty import BACKGROUND
from scorefield.reports import figures, findings
from scorefield.reports.card import run_card
from scorefield.store.atomic import atomic_path
from scorefield.trust.assess import recorded_likeness
from scorefield.trust.likeness import LikenessCheck
from scorefield.trust.residual import ResidualCheck, residual_check

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from scorefield.samples import Samples

TIMES = "\N{MULTIPLICATION SIGN}"
SHOWN = 32  # draws in the player: more make the file large, not the impression better
SPREAD, ERROR = "cividis", "RdBu_r"


def report(
    samples: Samples,
    measurement: Measurement,
    *,
    path: str | os.PathLike[str],
    truth: Tensor | None = None,
    baselines: Mapping[str, Tensor] | None = None,
    title: str = "Reconstruction report",
    view: View | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Write one HTML page about a reconstruction, to be opened anywhere and shown to anybody.

    Args:
        samples: at least two posterior draws (n, C, H, W) or (n, C, D, H, W).  The page shows the likeness check that
            they carry: see :meth:`scorefield.trust.Trust.attach`.
        measurement: the scan they explain.
        path: the file to write; it appears whole or not at all.
        truth: the reference image (C, *spatial), if there is one.
        baselines: other reconstructions of the scan by name, each (C, *spatial).
        title: headline.
        view: how images are shown: unit, gray window, the patient's geometry.
        card: more rows of the run card, nested plain data: the prior's card, the patient's code.

    Returns:
        The path written.

    Raises:
        InputError: fewer than two draws, shapes that differ, or a path that cannot be written.
    """
    baselines = dict(baselines or {})
    _check(samples, truth, baselines)
    page = _Page(samples, truth, baselines, view or View())
    check = residual_check(samples, measurement)
    text = _render(
        page.context(check, recorded_likeness(samples.provenance))
        | {"title": title, "card": run_card(samples, measurement, card or {})}
    )
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write the report to {path} ({error.strerror}); give a path you may write.") from error
    return Path(path)


def _check(samples: Samples, truth: Tensor | None, baselines: Mapping[str, Tensor]) -> None:
    if len(samples.draws) < 2:
        raise InputError("A report shows uncertainty and needs at least two draws; reconstruct with a larger n.")
    shape = tuple(samples.draws.shape[1:])
    for name, image in {**baselines, **({} if truth is None else {"truth": truth})}.items():
        if tuple(image.shape) != shape:
            raise InputError(f"The image '{name}' has shape {tuple(image.shape)} but the draws are images {shape}.")


def _render(context: dict[str, Any], template: str = "template.html") -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("scorefield.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)


@dataclass(frozen=True)
class Panel:
    """One picture of the page."""

    name: str
    uri: str
    alt: str
    note: str
    width: int
    height: int


@dataclass(frozen=True)
class Scale:
    """A color bar: the map from left to right, its ends and its unit."""

    uri: str
    low: str
    middle: str
    high: str
    label: str


@dataclass(frozen=True)
class Chart:
    """One chart of the page."""

    name: str
    uri: str
    alt: str
    note: str


class _Page:
    """The content of a page, in the order it is read."""

    def __init__(
        self,
        samples: Samples,
        truth: Tensor | None,
        baselines: Mapping[str, Tensor],
        view: View,
    ):
        self.samples, self.truth, self.baselines, self.view = samples, truth, baselines, view
        self.unit = view.unit
        self.region = None if truth is None else uncertain_region(samples, truth)
        self.result: Evaluation | None = None if truth is None else evaluate(samples, truth, level=findings.LEVEL)
        self.window = view.window or default_window(view.plane(samples.mean if truth is None else truth))
        self.level = f"{findings.LEVEL:.0%}"

    def context(self, check: ResidualCheck, likeness: LikenessCheck | None) -> dict[str, Any]:
        """The variables of the template."""
        shape, draws = tuple(self.samples.draws.shape[1:]), self.samples.draws
        spread_panels, spread_scale = self._spreads()
        error_panels, error_scale = self._errors()
        low, high = self.window
        return {
            "summary": self._summary(draws),
            "findings": self._findings(check, likeness),
            "columns": findings.COLUMNS,
            "rows": findings.table(self.samples, self.truth, self.result, self.baselines),
            "conventions": self._conventions(),
            "images": self._images(),
            "draws": self._player(),
            "draw_count": len(draws),
            "window": {"low": low, "high": high, "low_text": digits(low), "high_text": digits(high)},
            "zoom": self.view.zoom(self.view.plane(draws[0])),
            "shown": self.view.note(shape, draws.is_complex()),
            "spreads": spread_panels,
            "spread_scale": spread_scale,
            "errors": error_panels,
            "error_scale": error_scale,
            "charts": self._charts(check),
            "unit": self.unit,
        }

    def _summary(self, draws: Tensor) -> str:
        kind = "complex " if draws.is_complex() else ""
        size = f" {TIMES} ".join(map(str, draws.shape[2:]))
        return f"{len(draws)} posterior draws of one {kind}image, {size} pixels"

    def _findings(self, check: ResidualCheck, likeness: LikenessCheck | None) -> list[findings.Finding]:
        scores = {}
        if self.result is not None and self.truth is not None:
            scores = {n: psnr(x, self.truth, peak=self.result.peak) for n, x in self.baselines.items()}
        return [
            findings.misfit(check),
            *([findings.likeness(likeness)] if likeness else []),
            findings.accuracy(self.result, scores),
            findings.uncertainty(self.samples, self.result, self.unit),
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
            f" {digits(self.result.peak)} {self.unit}; SSIM has a uniform 7 {TIMES} 7 window and that"
            " maximum as data range (the fastMRI convention). Coverage is the part of pixels whose true value"
            f" lies in the central {self.level} interval{where}; {len(self.samples.draws)} perfect draws"
            f" would reach {self.result.expected_coverage:.1%}. {cost}"
        )

    def _panel(self, name: str, picture: Plane, window: Window, colormap: str = "gray", note: str = "") -> Panel:
        (rows, columns), (height, width) = picture.shape, self.view.size(picture)
        low, high = (digits(end) for end in window)
        alt = f"{name}: {columns} by {rows} pixels, shown from {low} to {high} {self.unit}"
        return Panel(name, png(picture, window, colormap), alt, note, width, height)

    def _images(self) -> list[Panel]:
        named = {**({} if self.truth is None else {"Reference": self.truth}), **self.baselines}
        named[findings.MEAN] = self.samples.mean
        return [self._panel(n, self.view.plane(x), self.window, note=self._score(n, x)) for n, x in named.items()]

    def _score(self, name: str, image: Tensor) -> str:
        if self.truth is None or self.result is None or name == "Reference":
            return ""
        return f"{psnr(image, self.truth, peak=self.result.peak):.1f} dB"

    def _player(self) -> list[Panel]:
        shown = self.samples.draws[:SHOWN]
        return [self._panel(f"Draw {i + 1}", self.view.plane(x), self.window) for i, x in enumerate(shown)]

    def _spreads(self) -> tuple[list[Panel], list[Scale]]:
        named = {
            "Standard deviation": self.view.plane(self.samples.std),
            f"Width of the {self.level} interval": self.view.plane(interval_width(self.samples, findings.LEVEL)),
        }
        ends = [top(picture) for picture in named.values()]
        panels = [self._panel(n, p, (0.0, e), SPREAD) for (n, p), e in zip(named.items(), ends, strict=True)]
        return panels, [Scale(scale_bar(SPREAD), "0", digits(end / 2), f"≥ {digits(end)}", self.unit) for end in ends]

    def _errors(self) -> tuple[list[Panel], Scale | None]:
        if self.truth is None:
            return [], None
        named = {**self.baselines, findings.MEAN: self.samples.mean}
        pictures = {name: self.view.plane(image) - self.view.plane(self.truth) for name, image in named.items()}
        limit = top(pictures[findings.MEAN])
        panels = [self._panel(n, p, (-limit, limit), ERROR) for n, p in pictures.items()]
        panels = [replace(p, alt=f"Error of {p.alt}") for p in panels]
        label = f"{self.unit}, image minus reference"
        return panels, Scale(scale_bar(ERROR), f"≤ \N{MINUS SIGN}{digits(limit)}", "0", f"≥ {digits(limit)}", label)

    def _charts(self, check: ResidualCheck) -> list[Chart]:
        count = f"{check.count:,} real measurements"
        note = (
            f"{count}. If prior, operator and noise are right, each draw's squared misfit, in units of the"
            f" noise, is {check.count:,} ± {math.sqrt(2 * check.count):,.0f}, and between {check.low:,.0f}"
            f" and {check.high:,.0f} for 95% of scans; the mean of these draws is {check.mean:,.0f}"
            f" (z = {check.z:+.1f})."
        )
        fit = Chart("Agreement with the scan", _picture(figures.residuals(check)), f"Misfit by draw. {note}", note)
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
        curve = _picture(figures.coverage_curve(self.samples, self.truth, mask=self.region))
        histogram = _picture(figures.ranks(self.samples, self.truth, mask=self.region))
        return [
            Chart("Coverage of the intervals", curve, f"Observed against nominal coverage. {covered}", covered),
            Chart("Rank of the reference", histogram, f"Histogram of ranks. {ranked}", ranked),
            fit,
        ]


def _picture(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)  # twice the page's 100, for sharp text on dense screens
    return embed(buffer.getvalue())
