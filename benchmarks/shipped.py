"""The shipped priors on slices they were not trained on, against total variation with an oracle's weight.

    python benchmarks/shipped.py --data DATA [--priors brain-t1 body ...] [--slices 5] [--draws 8] [--json PATH]

MR: axial T1 slices of three people not trained on, four times undersampled, 8 coils, 8 % center, 1 % noise.  CT: slices
of a contrast-enhanced thorax of a subject not trained on, and three of a head between those trained on, at 1.5 mm, 23
parallel views, 1e5 photons a ray.  Reported for each prior: PSNR of the posterior mean, the paired difference to TV
with its 95 % interval over slices, and the coverage of the 90 % intervals beside that of a perfect sampler with as many
draws.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield import shipped
from scorefield.baselines import tuned_total_variation
from scorefield.data import Image
from scorefield.metrics import evaluate
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.scans.protocols import CartesianMRI, ParallelCT, Protocol, simulate
from scorefield.store import checkpoint
from scorefield.units import WATER

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from shipped_images import TRAINED_BRAINS, attenuation, axial, body_validation, volume


def brains(data: Path) -> list[Tensor]:
    """The axial T1 slices of the three people that no prior was trained on."""
    return [torch.from_numpy(image.copy())[None] for image in axial(data)[TRAINED_BRAINS.stop :]]


def thorax(data: Path) -> list[Tensor]:
    """Six axial slices of a thorax, in 1/mm."""
    stack = attenuation(volume(data / "ct-torso-totalseg" / "aorta_ct_cropped.nii.gz")) * WATER
    places = np.linspace(10, stack.shape[2] - 10, 6).astype(int)
    return [torch.from_numpy(np.ascontiguousarray(stack[:, :, k], np.float32))[None] for k in places]


def heads(data: Path) -> list[Tensor]:
    """Three slices of a head at 1.5 mm, in 1/mm; others of the same subject were trained on."""
    return [torch.from_numpy(np.ascontiguousarray(image * WATER, np.float32))[None] for image in body_validation(data)]


@dataclass(frozen=True)
class Task:
    """Slices and how they are measured.

    Args:
        images: the true slices (1, H, W), in the units of the scan.
        protocol: how each is measured.
        spacing: pixel size in mm.
        priors: shipped priors that are asked by default.
    """

    images: Callable[[Path], list[Tensor]]
    protocol: Protocol
    spacing: float
    priors: tuple[str, ...]


TASKS = {
    "MR of brains": Task(brains, CartesianMRI(), 1.0, ("brain-t1", "brain-t1-patch", "brain", "photo")),
    "CT of a thorax": Task(thorax, ParallelCT(views=23, photons=1e5), 1.5, ("body", "body-patch", "photo")),
    "CT of a head": Task(heads, ParallelCT(views=23, photons=1e5), 1.5, ("body", "body-patch", "photo")),
}


def interval(differences: list[float]) -> float:
    """Half the width of the 95 % interval of their mean."""
    from scipy.stats import t

    n = len(differences)
    return float(t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--priors", nargs="*", help="names or folders; by default the shipped ones that fit the task")
    parser.add_argument("--slices", type=int, default=6)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in args.tasks:
        task = TASKS[name]
        loaded = {str(p): checkpoint.load(shipped.find(p)) for p in args.priors or task.priors}
        for k, truth in enumerate(task.images(args.data)[: args.slices]):
            given = simulate(
                Image(truth, (task.spacing,) * 2, source=f"slice {k}"), task.protocol, seed=k
            ).measurement()
            tv = tuned_total_variation(given, truth).psnr
            for label, prior in loaded.items():
                samples = reconstruct(prior, given, n=args.draws, seed=k)
                found = evaluate(samples, truth)
                rows.append(
                    {"task": name, "slice": k, "prior": label, "tv": tv, "psnr": found.psnr, "crps": found.crps,
                     "coverage": found.coverage, "perfect": found.expected_coverage, "seconds": samples.cost.seconds}
                )  # fmt: skip
                print(
                    f"{name} slice {k}: {label} {found.psnr:.2f} dB, TV {tv:.2f} dB, {found.coverage:.1%}", flush=True
                )
    print(f"\n{'task':<16}{'prior':<16}{'dB':>7}{'TV, dB':>8}{'gain':>7}{'+-':>6}{'coverage':>10}{'perfect':>9}")
    for task, prior in dict.fromkeys((row["task"], row["prior"]) for row in rows):
        mine = [row for row in rows if (row["task"], row["prior"]) == (task, prior)]
        gains = [row["psnr"] - row["tv"] for row in mine]
        means = {key: float(np.mean([row[key] for row in mine])) for key in ("psnr", "tv", "coverage", "perfect")}
        print(f"{task:<16}{prior:<16}{means['psnr']:7.2f}{means['tv']:8.2f}{np.mean(gains):+7.2f}{interval(gains):6.2f}"
              f"{means['coverage']:10.1%}{means['perfect']:9.1%}")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
