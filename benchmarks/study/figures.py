"""The figures of the page, small PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .plan import AMPLITUDES, LESS, MORE, OBJECTS
from .results import Results

SHIFTS = ("none", *(shift.name for shift in (*AMPLITUDES, LESS, MORE, *OBJECTS)))
TASK_OF = {LESS.name: "noise-0.025", MORE.name: "noise-0.4"}
LOWEST = -6.5  # dB; what is below is written at the edge
NAMES = {
    "p3-100": "3 x 3 patches",
    "p3-scale-100": "3 x 3, scale invariant",
    "p9-100": "9 x 9 patches",
    "told-100": "CNN of 9 x 9 pixels",
    "unet-100": "U-Net, scale equivariant",
    "unet-biased-100": "U-Net with biases",
    "p3-100-x4": "3 x 3 patches, 4 times as long",
    "told-100-x4": "CNN of 9 x 9 pixels, 4 times as long",
    "unet-100-x16": "U-Net, scale equivariant, 16 times as long",
    "bm3d": "BM3D",
}


def shifts(results: Results, path: Path) -> None:
    """Denoising under shift: every prior against tuned total variation."""
    figure, axes = plt.subplots(figsize=(9, 4.8))
    methods = [name for name in NAMES if results.has(name, "noise-0.1")]
    for k, name in enumerate(methods):
        places, means, ends = [], [], []
        for i, shift in enumerate(SHIFTS):
            task = TASK_OF.get(shift, "noise-0.1")
            if results.has(name, task, shift) and results.has("tv", task, shift):
                found = results.difference(name, "tv", task, shift)
                places.append(i + (k - len(methods) / 2) * 0.1)
                means.append(found.mean)
                ends.append(found.mean - found.low)
        points = axes.errorbar(places, means, ends, fmt="o", ms=3.5, lw=1, capsize=2, label=NAMES[name])
        for place, mean in zip(places, means, strict=True):
            if mean < LOWEST:
                color, height = points[0].get_color(), 1 + 0.4 * (k % 2)  # neighbors write at two heights
                where = {"xy": (place, LOWEST), "xytext": (place, LOWEST + height), "ha": "center", "fontsize": 7}
                axes.annotate(f"{mean:.0f}", **where, color=color, arrowprops={"arrowstyle": "->", "color": color})
    axes.set_ylim(LOWEST, None)
    for i in range(len(SHIFTS) - 1):
        axes.axvline(i + 0.5, color="gray", lw=0.3)
    axes.axhline(0, color="gray", lw=0.8)
    axes.set_xticks(range(len(SHIFTS)), [shift.replace(": ", ":\n") for shift in SHIFTS], rotation=30, ha="right")
    axes.set_ylabel("dB over tuned total variation")
    axes.legend(fontsize=7, ncols=4, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))
    _save(figure, path)


def sizes(results: Results, path: Path) -> None:
    """Denoising by number of training slices."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2))
    for axes, task in zip(panels, ("noise-0.05", "noise-0.1"), strict=True):
        for name in ("p3", "p9", "told", "unet"):
            counts = [n for n in (1, 5, 25, 100) if results.has(f"{name}-{n}", task)]
            _points(axes, counts, [results.difference(f"{name}-{n}", "tv", task) for n in counts], NAMES[f"{name}-100"])
        axes.set_xscale("log")
        axes.set_xticks([1, 5, 25, 100], ["1", "5", "25", "100"])
        axes.set_xlabel(f"training slices (noise {task[6:]})")
        axes.axhline(0, color="gray", lw=0.8)
    panels[0].set_ylabel("dB over tuned total variation")
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=7, ncols=4, frameon=False, loc="upper center")
    _save(figure, path, top=0.94)


def sides(results: Results, path: Path) -> None:
    """Denoising by patch side."""
    figure, axes = plt.subplots(figsize=(5.5, 3.2))
    for task in ("noise-0.05", "noise-0.1"):
        found = [side for side in (3, 5, 9, 17, 33) if results.has(f"p{side}-100", task)]
        values = [results.difference(f"p{side}-100", "tv", task) for side in found]
        _points(axes, found, values, f"noise {task[6:]}", color := {"noise-0.05": "C0", "noise-0.1": "C1"}[task])
        whole = [(place, name) for place, name in ((48, "padis-100"), (96, "unet-100")) if results.has(name, task)]
        for place, name in whole:
            value = results.difference(name, "tv", task)
            axes.errorbar([place], [value.mean], [value.mean - value.low], fmt="s", ms=4, lw=1, capsize=2, color=color)
    axes.set_xscale("log")
    axes.set_xticks([3, 5, 9, 17, 33, 48, 96], ["3", "5", "9", "17", "33", "  PaDIS\n  32", "U-Net\nwhole"])
    axes.minorticks_off()
    axes.axhline(0, color="gray", lw=0.8)
    axes.set_xlabel("patch side, pixels")
    axes.set_ylabel("dB over tuned total variation")
    axes.legend(fontsize=7, frameon=False)
    _save(figure, path)


def _points(axes, places: Sequence[float], values: Sequence, label: str, color: str | None = None) -> None:
    ends = [value.mean - value.low for value in values]
    axes.errorbar(
        places, [value.mean for value in values], ends, fmt="o-", ms=3.5, lw=1, capsize=2, label=label, color=color
    )


def _save(figure, path: Path, top: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout(rect=(0, 0, 1, top))
    figure.savefig(path, dpi=100)
    plt.close(figure)
