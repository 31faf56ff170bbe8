"""The README's figure from a finished demonstration.

scorefield demo --out out/demo && python scripts/readme_figure.py out/demo docs/demo.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scorefield.cli.demo_cases import CASES

PANELS = (("truth", "reference"), ("linear", ""), ("tv", "TV, oracle weight"), ("mean", "posterior mean"))


def main(folder: Path, out: Path) -> None:
    figure = Figure(figsize=(13, 5.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(CASES), len(PANELS) + 1)
    for row, case in zip(axes, CASES, strict=True):
        images = {name: np.squeeze(np.load(folder / case.name / f"{name}.npy")) for name, _ in PANELS}
        truth = images["truth"]
        top = np.quantile(truth, 0.999)
        for ax, (name, title) in zip(row, PANELS, strict=False):
            error = np.mean((images[name] - truth) ** 2)
            decibel = "" if name == "truth" else f", {10 * np.log10(truth.max() ** 2 / error):.1f} dB"
            ax.imshow(images[name], cmap="gray", vmin=0, vmax=top)
            ax.set_title((title or case.linear[0]) + decibel, fontsize=11)
        std = np.squeeze(np.asanyarray(nibabel.load(folder / case.name / "std.nii.gz").dataobj))
        shown = row[-1].imshow(std, cmap="cividis", vmin=0, vmax=np.quantile(std, 0.995))
        row[-1].set_title("posterior std", fontsize=11)
        figure.colorbar(shown, ax=row[-1], shrink=0.85)
        row[0].set_ylabel(case.title, fontsize=10)
        for ax in row:
            ax.set_xticks([])
            ax.set_yticks([])
    figure.savefig(out, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
