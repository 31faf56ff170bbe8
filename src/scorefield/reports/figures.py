"""Figures: samples in, a matplotlib Figure out.  No global state; the caller saves or shows it.

Images are gray; spreads are "cividis", errors "RdBu_r" and symmetric: all readable with any color vision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from scorefield.data.display import Plane, Window, default_window, plane, top
from scorefield.data.view import UNIT
from scorefield.metrics import coverage, expected_coverage, interval_width, rank_histogram
from scorefield.trust.residual import ResidualCheck

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from scorefield.samples import Samples

INK, MUTED, BLUE, BAND = "#16202a", "#55616d", "#0b5fa5", "#dbe7f3"
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def mean(samples: Samples, *, unit: str = UNIT, window: Window | None = None) -> Figure:
    """The posterior mean in gray; its magnitude when complex."""
    picture = plane(samples.mean)
    return _map(picture, "Posterior mean", unit, "gray", window or default_window(picture))


def std(samples: Samples, *, unit: str = UNIT) -> Figure:
    """The posterior standard deviation of each pixel."""
    picture = plane(samples.std)
    return _map(picture, "Posterior standard deviation", unit, "cividis", (0.0, top(picture)))


def width(samples: Samples, level: float = 0.9, *, unit: str = UNIT) -> Figure:
    """Width of the central interval of ``level``."""
    picture = plane(interval_width(samples, level))
    return _map(picture, f"Width of the {level:.0%} interval", unit, "cividis", (0.0, top(picture)))


def error(samples: Samples, truth: Tensor, *, unit: str = UNIT) -> Figure:
    """Posterior mean minus truth, of magnitudes when complex, on a scale symmetric about zero."""
    picture = plane(samples.mean) - plane(truth)
    limit = top(picture)
    return _map(picture, "Posterior mean minus reference", unit, "RdBu_r", (-limit, limit))


def coverage_curve(samples: Samples, truth: Tensor, *, mask: Tensor | None = None) -> Figure:
    """Observed against nominal coverage of the central intervals, with what n perfect draws would cover."""
    figure, axes = chart()
    nominal = np.array(LEVELS)
    perfect = [expected_coverage(len(samples.draws), level) for level in LEVELS]
    observed = [coverage(samples, truth, level, mask=mask) for level in LEVELS]
    axes.plot(
        [0, *nominal],
        [0, *perfect],
        color=MUTED,
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        label="perfect sampler",
    )
    axes.plot(nominal, observed, color=BLUE, linewidth=1.8, marker="o", markersize=4, label="this reconstruction")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xlabel("nominal probability of the interval")
    axes.set_ylabel("fraction of pixels inside it")
    axes.text(0.05, 0.69, "too cautious", color=MUTED, fontsize=8.5, va="center")
    axes.text(0.95, 0.3, "over-confident", color=MUTED, fontsize=8.5, va="center", ha="right")
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", handlelength=2.2)
    return figure


def ranks(samples: Samples, truth: Tensor, *, mask: Tensor | None = None) -> Figure:
    """Histogram of the rank of the truth among the draws; flat for a perfect sampler."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = chart()
    fractions = rank_histogram(samples, truth, mask=mask).cpu().numpy()
    axes.bar(np.arange(len(fractions)), fractions, width=0.86, color=BLUE)
    axes.axhline(1 / len(fractions), color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="perfect sampler")
    axes.set_ylim(0, 1.25 * max(float(fractions.max()), 1 / len(fractions)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("number of draws below the reference")
    axes.set_ylabel("fraction of pixels")
    axes.legend(frameon=False, fontsize=8.5, loc="upper right", handlelength=2.2)
    return figure


def residuals(check: ResidualCheck) -> Figure:
    """Misfit of each draw over the number of measurements, and the range that chance allows."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = chart()
    values = np.array(check.statistics) / check.count
    low, high = check.low / check.count, check.high / check.count
    axes.axhspan(low, high, color=BAND, label="95% range of chance")
    axes.axhline(1.0, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="expected")
    axes.plot(np.arange(1, len(values) + 1), values, "o", color=BLUE, markersize=5, label="draws")
    bottom, upper = min(low, float(values.min())), max(high, float(values.max()))
    axes.set_ylim(bottom - 0.15 * (upper - bottom), upper + 0.5 * (upper - bottom))
    axes.set_xlabel("draw")
    axes.set_ylabel("squared misfit / number of measurements")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]
    axes.legend(frameon=False, fontsize=8.5, loc="upper center", ncols=3, handlelength=1.6, columnspacing=1.2)
    return figure


def _map(picture: Plane, title: str, unit: str, colormap: str, window: Window) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(picture, cmap=colormap, vmin=window[0], vmax=window[1], interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, color=INK)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.85)
    bar.set_label(unit, color=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def chart() -> tuple[Figure, Axes]:
    """An empty figure in the style of the page, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 3.4), layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")  # the page's ground, light or dark
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=8.5, color=MUTED)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=9)
    axes.grid(color="#e6eaee", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes
