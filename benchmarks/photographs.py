"""The shipped priors of photographs on photographs they were not trained on: denoising, one evaluation.

    python benchmarks/photographs.py --data DATA [--priors photo photo-patch] [--images 8] [--json PATH]

Kodak photographs at half their resolution, the central 256 x 256 pixels, white noise.  Beside the priors: total
variation with an oracle's weight, and BM3D with the best strength for each image.  Reported: mean PSNR, and the
paired difference to BM3D with its 95 % interval over images.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield import shipped
from scorefield.baselines import bm3d, tune, tuned_total_variation
from scorefield.measurement import Measurement
from scorefield.metrics import psnr
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.store import checkpoint
from shipped import interval  # beside this script

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from shipped_images import photo_validation

LEVELS = (0.05, 0.1, 0.2)
STRENGTHS = (0.7, 0.85, 1.0, 1.2, 1.45)
SIDE = 256


def photographs(data: Path) -> list[Tensor]:
    """The centers of the photographs (1, 256, 256), white 1."""
    images = (torch.from_numpy(np.ascontiguousarray(image, np.float32)) for image in photo_validation(data))
    starts = ((image, *((n - SIDE) // 2 for n in image.shape)) for image in images)
    return [image[None, top : top + SIDE, left : left + SIDE].contiguous() for image, top, left in starts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--priors", nargs="*", default=["photo", "photo-patch"], help="names or folders")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    loaded = {name: checkpoint.load(shipped.find(name)) for name in args.priors}
    rows = []
    for sigma in LEVELS:
        found: dict[str, list[float]] = {}
        for k, truth in enumerate(photographs(args.data)[: args.images]):
            noise = White(sigma)
            y = truth + noise.sample(truth, torch.Generator().manual_seed(k))
            given, peak = Measurement(y, Identity(tuple(truth.shape)), noise), float(truth.max())
            with torch.no_grad():
                clean = {name: prior.denoise(y[None], sigma)[0] for name, prior in loaded.items()}
            scores = {name: psnr(image, truth, peak=peak) for name, image in clean.items()}
            scores["BM3D"] = tune(partial(bm3d, given), truth, STRENGTHS).psnr
            scores["TV"] = tuned_total_variation(given, truth).psnr
            for name, value in scores.items():
                found.setdefault(name, []).append(value)
        for name, values in found.items():
            gains = [a - b for a, b in zip(values, found["BM3D"], strict=True)]
            rows.append({"sigma": sigma, "method": name, "psnr": values})
            print(f"sigma {sigma}: {name:<12} {np.mean(values):.2f} dB, over BM3D {np.mean(gains):+.2f} +- "
                  f"{interval(gains):.2f}", flush=True)  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
