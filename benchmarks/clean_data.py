"""The end of the walk: intervals of learned priors on clean data, by the mean of the last level and by a draw.

    python benchmarks/clean_data.py --data DATA [--cases "denoising, MR" ...] [--side 48] [--draws 19] [--json PATH]

Windows of images that the shipped priors were not trained on: T1 slices of people and a thorax.  Each is measured with
less and less noise, which is a standard deviation over the intensity (of CT: over the mean line integral).  The walk
down to the last level is the same for both ends.  For each are reported: PSNR of the mean of the draws, coverage of the
90 % intervals (90 % is right for 19 draws), CRPS, the spread of the draws over the error of their mean, the misfit of
the draws in units of the noise, and the work a draw (evaluations and twice the vector-Jacobian products).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield import shipped
from scorefield.kernels import DPMpp2M
from scorefield.measurement import Measurement
from scorefield.metrics import evaluate
from scorefield.noise import White
from scorefield.operators import Identity, birdcage, cartesian_mask, mri, parallel_beam
from scorefield.operators.linear import Operator
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.store import checkpoint
from scorefield.trust import residual_check
from shipped import brains, thorax  # beside this script

ENDS = {"mean": Method(kernel=DPMpp2M(eta=1.0)), "draw": Method()}


def denoising(image: Tensor) -> Operator:
    return Identity(tuple(image.shape))


def full(image: Tensor) -> Operator:
    """Four coils, all of k-space."""
    shape = tuple(image.shape)
    return mri(torch.ones(shape[1:], dtype=torch.bool), birdcage(4, shape))


def fourfold(image: Tensor) -> Operator:
    """Eight coils, a quarter of k-space."""
    shape, generator = tuple(image.shape), torch.Generator().manual_seed(0)
    return mri(cartesian_mask(shape, 4, center_fraction=0.08, generator=generator), birdcage(8, shape))


def ct(image: Tensor) -> Operator:
    """40 parallel views, their line integrals over the mean one."""
    views, detectors = 40, math.ceil(math.hypot(*image.shape[1:])) + 2
    beam = parallel_beam(tuple(image.shape), [math.pi * k / views for k in range(views)], detectors)
    return beam * (1 / float(beam(image[None]).mean()))


@dataclass(frozen=True)
class Case:
    """What is measured, how, and at which noise.

    Args:
        prior: a shipped prior.
        images: reads slices (1, H, W) that it was not trained on.
        operator: of an image.
        levels: of the noise, from moderate to clean.
    """

    prior: str
    images: Callable[[Path], list[Tensor]]
    operator: Callable[[Tensor], Operator]
    levels: tuple[float, ...]


CASES = {
    "denoising, MR": Case("brain-t1", brains, denoising, (0.02, 0.005, 0.001)),
    "denoising, CT": Case("body", thorax, denoising, (0.02, 0.001)),
    "MRI, all of k-space": Case("brain-t1", brains, full, (0.02, 0.005, 0.002)),
    "MRI, a quarter": Case("brain-t1", brains, fourfold, (0.01, 0.002)),
    "CT, 40 views": Case("body", thorax, ct, (0.01, 0.001)),
}


def window(image: Tensor, side: int) -> Tensor:
    """The central pixels over their 99th percentile."""
    top, left = ((n - side) // 2 for n in image.shape[1:])
    part = image[:, top : top + side, left : left + side]
    return part / torch.quantile(part, 0.99)


def measure(case: Case, truth: Tensor, level: float, seed: int) -> Measurement:
    operator, noise = case.operator(truth), White(level)
    dtype = operator.H(operator(truth[None])).dtype  # complex for MRI
    y = operator(truth[None].to(dtype))
    return Measurement(y + noise.sample(y, torch.Generator().manual_seed(seed)), operator, noise)


def scores(given: Measurement, truth: Tensor, prior: str, end: str, draws: int, seed: int) -> dict[str, float]:
    samples = reconstruct(checkpoint.load(shipped.find(prior)), given, n=draws, seed=seed, method=ENDS[end])
    quality, drawn = evaluate(samples, truth), samples.draws.abs() if given.y.is_complex() else samples.draws
    error = (drawn.mean(0) - truth).square().mean().sqrt()
    spread = (drawn.var(0).mean() * (1 + 1 / draws)).sqrt()
    misfit = residual_check(samples, given).ratio
    return {"psnr": quality.psnr, "coverage": quality.coverage, "crps": quality.crps, "spread": float(spread / error),
            "misfit": misfit, "work": samples.cost.work}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--draws", type=int, default=19)
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(
        f"{'case':<21}{'noise':>8}{'end':>6}{'PSNR':>8}{'coverage':>10}{'CRPS':>9}{'spread':>8}{'misfit':>8}{'work':>6}"
    )
    for name in args.cases:
        case = CASES[name]
        truths = [window(image, args.side) for image in case.images(args.data)[::2][: args.images]]
        for level in case.levels:
            for end in ENDS:
                each = [
                    scores(measure(case, truth, level, k), truth, case.prior, end, args.draws, k)
                    for k, truth in enumerate(truths)
                ]
                row = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
                rows.append({"case": name, "noise": level, "end": end, **row})
                print(f"{name:<21}{level:>8g}{end:>6}{row['psnr']:>8.2f}{row['coverage']:>10.1%}{row['crps']:>9.2e}"
                      f"{row['spread']:>8.2f}{row['misfit']:>8.3f}{row['work']:>6.0f}", flush=True)  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
