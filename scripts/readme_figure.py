"""The figures of the README from a finished demonstration: ``first.png``, a strip for the first screen, ``demo.png``.

scorefield demo --out out/demo && python scripts/readme_figure.py out/demo docs
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scorefield.cli.demo_cases import CASES, Case

PANELS = (("truth", "reference"), ("linear", ""), ("tv", "TV, oracle weight"), ("mean", "posterior mean"))
SHORT = {"ct": "20-view CT", "mri": "4x MRI"}


def main(folder: Path, out: Path) -> None:
    """Write both figures into the folder ``out``."""
    demo(folder).savefig(out / "demo.png", dpi=80)
    first(folder).savefig(out / "first.png", dpi=150, bbox_inches="tight", pad_inches=0.02)


def first(folder: Path) -> Figure:
    """One row: of each scan the linear reconstruction, the posterior mean and the spread."""
    figure = new_figure(11.0, 2.05)
    axes = figure.subplots(1, 3 * len(CASES), gridspec_kw={"wspace": 0.03}, width_ratios=[1, 1, 1, 4 / 3, 4 / 3, 4 / 3])
    for row, case in zip(axes.reshape(len(CASES), 3), CASES, strict=True):
        top = np.quantile(array(folder, case, "truth"), 0.999)
        for ax, name, title in zip(row, ("linear", "mean"), (case.linear[0], "posterior mean"), strict=False):
            show(ax, array(folder, case, name), top)
            ax.set_title(title, fontsize=10)
        spread(row[2], folder, case)
        row[2].set_title("spread (std)", fontsize=10)
        row[0].set_title(f"{SHORT[case.name]}: {case.linear[0]}", fontsize=10)
    return figure


def demo(folder: Path) -> Figure:
    """One row a scan: reference, linear reconstruction, total variation, posterior mean, spread."""
    figure = new_figure(13.0, 5.6)
    axes = figure.subplots(len(CASES), len(PANELS) + 1)
    for row, case in zip(axes, CASES, strict=True):
        truth = array(folder, case, "truth")
        for ax, (name, title) in zip(row, PANELS, strict=False):
            image = array(folder, case, name)
            error = np.mean((image - truth) ** 2)
            decibel = "" if name == "truth" else f", {10 * np.log10(truth.max() ** 2 / error):.1f} dB"
            show(ax, image, np.quantile(truth, 0.999))
            ax.set_title((title or case.linear[0]) + decibel, fontsize=11)
        shown = spread(row[-1], folder, case)
        row[-1].set_title("posterior std", fontsize=11)
        figure.colorbar(shown, ax=row[-1], shrink=0.85)
        row[0].set_ylabel(case.title, fontsize=10)
    return figure


def new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def array(folder: Path, case: Case, name: str) -> np.ndarray:
    return np.squeeze(np.load(folder / case.name / f"{name}.npy"))


def spread(ax: Axes, folder: Path, case: Case):
    """The map of the standard deviation, brighter where less is known."""
    std = np.squeeze(np.asanyarray(nibabel.load(folder / case.name / "std.nii.gz").dataobj))
    return show(ax, std, np.quantile(std, 0.995), "cividis")


def show(ax: Axes, image: np.ndarray, top: float, colors: str = "gray"):
    ax.set_xticks([])
    ax.set_yticks([])
    return ax.imshow(image, cmap=colors, vmin=0, vmax=top)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
