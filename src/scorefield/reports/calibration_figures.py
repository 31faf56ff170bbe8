"""Figures of a calibration: coverage, ranks of single numbers, and ranks of whole images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scorefield.calibration import LEVELS, Calibration, Quantities, ecdf_bands, rank_counts
from scorefield.reports.figures import BAND, BLUE, INK, MUTED, chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 20
ORANGE = "#b8560f"


def coverage(calibration: Calibration) -> Figure:
    """Observed against nominal coverage of pixels and of regions, with two standard errors."""
    figure, axes = chart()
    levels = np.array(LEVELS)
    kinds = {"pixels": (calibration.pixels, BLUE, "o"), "regions": (calibration.regions, ORANGE, "s")}
    coverages = {name: [q.coverage(level) for level in LEVELS] for name, (q, _, _) in kinds.items()}
    expected = [c.expected for c in coverages["pixels"]]
    axes.plot(levels, expected, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="perfect sampler")
    for name, (_, color, marker) in kinds.items():
        values, errors = [c.observed for c in coverages[name]], [2 * c.error for c in coverages[name]]
        axes.errorbar(levels, values, errors, color=color, marker=marker, markersize=4.5, capsize=3, label=name)
    axes.set_xlabel("nominal probability of the interval")
    axes.set_ylabel("share of truths inside it")
    axes.set_xticks(levels, [f"{level:.0%}" for level in LEVELS])
    axes.set_ylim(min(0.3, *(c.observed for c in coverages["pixels"] + coverages["regions"])) - 0.05, 1.02)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", handlelength=2.2)
    return figure


def ranks(quantities: Quantities) -> Figure:
    """Histogram of the ranks of the truths, over what a perfect sampler puts into each bar; 1 is right.

    A bar holds several ranks where there are more than 20.  The error bars are two standard errors between scans.
    """
    figure, axes = chart()
    n, scans = quantities.draws.shape[1], len(quantities.draws)
    bars = min(n + 1, BARS)
    bins = np.arange(n + 1) * bars // (n + 1)
    size = np.bincount(bins) / (n + 1)  # what a perfect sampler puts into each bar
    each = np.stack([np.bincount(bins[row], minlength=bars) / row.size for row in quantities.ranks.numpy()]) / size
    mean, error = each.mean(0), 2 * each.std(0, ddof=1) / math.sqrt(scans)
    axes.bar(np.arange(bars), mean, width=0.86, color=BLUE)
    axes.errorbar(np.arange(bars), mean, error, fmt="none", ecolor=INK, elinewidth=1)
    axes.axhline(1, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="perfect sampler")
    ticks = np.linspace(0, bars - 1, 5).round().astype(int)
    axes.set_xticks(ticks, [str(round(t * n / (bars - 1))) for t in ticks])
    axes.set_xlabel("number of draws below the truth")
    axes.set_ylabel("frequency over a perfect sampler's")
    axes.set_ylim(0, 1.2 * max(1.0, float((mean + error).max())))
    axes.legend(frameon=False, fontsize=8.5, loc="upper right", handlelength=2.2)
    return figure


def tarp(calibration: Calibration) -> Figure:
    """Share of scans below each TARP rank minus the share of an exact sampler, in the band of chance."""
    figure, axes = chart()
    n, scans = calibration.draws, calibration.n_scans
    below = rank_counts(calibration.tarp_ranks, n).numpy().cumsum()[:-1]
    expected, bands = np.arange(1, n + 1) / (n + 1), ecdf_bands(scans, n)
    low, high = bands.low / scans - expected, bands.high / scans - expected
    axes.fill_between(expected, low, high, color=BAND, linewidth=0, label="95% range of chance")
    axes.plot(expected, below / scans - expected, color=BLUE, marker="o", markersize=4, label="these scans")
    axes.axhline(0, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    reach = 1.5 * max(float(np.abs(below / scans - expected).max()), float(high.max()), float(-low.min()))
    axes.set(xlim=(0, 1), ylim=(-reach, reach))
    axes.set_xlabel("expected share")
    axes.set_ylabel("observed minus expected share")
    axes.legend(frameon=False, fontsize=8.5, loc="upper center", ncols=2, handlelength=1.6)
    return figure
