"""Are the draws of the default better calibrated than those of DPS with 1000 evaluations?  Many scans, one network.

    python benchmarks/calibration.py --data DATA [--prior brain-t1] [--scans 16] [--draws 4] [--work out/calibration]

Truths are windows of the axial T1 slices of three people that no prior was trained on; each is seen by fourfold
undersampled MRI with 8 coils and a mask and noise of its own.  The weight of DPS is tuned against the truth of a
window that is not counted.  Reported over scans: coverage of intervals beside that of exact draws as many, the spread
of the draws over the error of their mean, the factor that would mend the intervals, CRPS, and its paired difference
with a 95 % interval.  Scans are kept in the folder: an interrupted run continues.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield import shipped
from scorefield.calibration import Calibration, Experiment, FromImages, Scanner, calibrate
from scorefield.data import Image
from scorefield.posteriors import MMPS
from scorefield.reconstruction.method import Method
from scorefield.runs.progress import Bar
from scorefield.scans.protocols import CartesianMRI, simulate
from scorefield.store import checkpoint
from shipped import brains, interval  # beside this script
from tuned_dps import dps, tuned_dps

LEVELS = (0.5, 0.8, 0.9)


def windows(images: list[Tensor], side: int) -> list[Tensor]:
    """Windows of ``side`` pixels that tile each image (1, H, W) from its center, the nearly empty ones left out."""
    found = []
    for image in images:
        starts = [range(n % side // 2, n - side + 1, side) for n in image.shape[1:]]
        found += [image[:, top : top + side, left : left + side] for top in starts[0] for left in starts[1]]
    return [window.contiguous() for window in found if float((window > 0.1).float().mean()) > 0.3]


def row(found: Calibration, reference: Calibration) -> dict[str, float]:
    """The numbers of one method, beside another's on the same scans."""
    covered = {f"coverage {level:g}": found.pixels.coverage(level).observed for level in LEVELS}
    errors = {f"error {level:g}": found.pixels.coverage(level).error for level in LEVELS}
    differences = (found.numbers("crps") / reference.numbers("crps") - 1).tolist()
    low, high = found.pixels.factor_range()
    return {**covered, **errors, "spread over error": found.pixels.spread_skill.ratio, "factor": found.pixels.factor(),
            "factor low": low, "factor high": high, "crps": float(found.numbers("crps").mean()),
            "crps change": float(np.mean(differences)), "crps change +-": interval(differences),
            "seconds": float(found.numbers("seconds").mean())}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prior", default="brain-t1")
    parser.add_argument("--scans", type=int, default=16)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000, help="of DPS")
    parser.add_argument("--side", type=int, default=64, help="pixels of a window")
    parser.add_argument("--work", type=Path, default=Path("out/calibration"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    prior, protocol = checkpoint.load(shipped.find(args.prior)), CartesianMRI()
    first, *counted = windows(brains(args.data), args.side)
    given = simulate(Image(first, (1.0, 1.0)), protocol, seed=0).measurement()
    weight, tried = tuned_dps(prior, given, first, args.steps, float(first.max()))
    print("PSNR of DPS by weight: " + ", ".join(f"{w:.3g}: {v:.2f}" for w, v in sorted(tried.items())), flush=True)
    methods = {
        "default": Method(),
        "fast, 16 steps": Method(posterior=partial(MMPS, iterations=3), steps=16),
        f"DPS, {args.steps} steps": dps(weight, args.steps),
    }
    experiment = Experiment(Scanner(protocol), FromImages(counted))
    found: dict[str, Calibration] = {}
    for name, method in methods.items():
        found[name] = calibrate(
            prior, experiment, n_scans=args.scans, draws=args.draws, method=method,
            folder=args.work / name.replace(" ", "_"), progress=Bar(),
        )  # fmt: skip
    rows = {name: row(each, found["default"]) for name, each in found.items()}
    exact = ", ".join(f"{found['default'].pixels.coverage(level).expected:.1%}" for level in LEVELS)
    print(f"\nExact draws cover {exact} at {', '.join(f'{level:.0%}' for level in LEVELS)}.")
    for name, numbers in rows.items():
        print(f"\n{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in numbers.items()))
    if args.json:
        args.json.write_text(json.dumps({"scans": args.scans, "draws": args.draws, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
