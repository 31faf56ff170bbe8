"""The default reconstruction against DPS with 1000 evaluations, same network, same scan, one run.

    python benchmarks/reconstruct.py [--case ct|mri] [--draws 4] [--json PATH]

DPS gets what it never has in practice: its weight is tuned against the truth, on one draw with a tenth of the steps,
and once more around the best with all of them, until the peak is between others.  Beside the default runs a faster
setting of it, three Krylov iterations instead of four and 16 steps instead of 24.  Reported: PSNR of the mean and of
single draws, 90 % coverage, CRPS, forward + 2 x backward passes, seconds by the clock and by the processor (which a
busy machine does not stretch), and their ratios.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from scorefield import checkpoint, demo, shipped
from scorefield.errors import InputError
from scorefield.kernels import Ancestral
from scorefield.measurement import Measurement
from scorefield.method import Method
from scorefield.metrics import evaluate, psnr
from scorefield.posteriors import DPS, MMPS
from scorefield.prior import Prior
from scorefield.reconstruct import reconstruct
from scorefield.simulate import simulate


@dataclass(frozen=True)
class Published:
    """DPS with one displacement ``zeta`` per ancestral step, relative to image intensity over data norm."""

    weight: float

    def __call__(self, prior: Prior, measurement: Measurement) -> Prior:
        return DPS(prior, measurement, weight=self.weight)


def tuned_dps(
    prior: Prior, given: Measurement, truth: Tensor, steps: int, peak: float
) -> tuple[float, dict[float, float]]:
    """The weight of highest PSNR of one draw, coarse with steps / 10, then fine with all of them."""
    tried: dict[float, float] = {}

    def score(weight: float, used: int) -> float:
        try:
            method = Method(posterior=Published(weight), kernel=Ancestral(1.0), steps=used)
            return psnr(reconstruct(prior, given, n=1, seed=1, method=method).draws[0], truth, peak=peak)
        except InputError:  # diverged
            return float("-inf")

    norm = float(given.y.abs().square().sum().sqrt())
    unit = float(truth.square().sum()) / norm  # a weight of this size moves the image by about itself
    coarse = [unit * 10.0**k for k in (-2, -1.5, -1, -0.5, 0, 0.5, 1)]
    best = max(coarse, key=lambda w: score(w, steps // 10))
    for weight in (best / 2, best, 2 * best):
        tried[weight] = score(weight, steps)
    while (best := max(tried, key=lambda w: tried[w])) in (min(tried), max(tried)):  # the peak may lie beyond
        weight = best / 2 if best == min(tried) else 2 * best
        tried[weight] = score(weight, steps)
    return best, tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[case.name for case in demo.CASES], default="mri")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    (case,) = (case for case in demo.CASES if case.name == args.case)
    prior = checkpoint.load(shipped.find(case.prior))
    image = case.image()
    given = simulate(image, case.protocol, seed=0).measurement()
    truth = case.protocol.prepare(image).pixels
    peak = float(truth.abs().max())

    weight, tried = tuned_dps(prior, given, truth, args.steps, peak)
    dps = Method(posterior=Published(weight), kernel=Ancestral(1.0), steps=args.steps)
    methods = {
        "default": Method(),
        "fast, 16 steps": Method(posterior=partial(MMPS, iterations=3), steps=16),
        f"DPS, {args.steps} steps": dps,
    }
    rows = {}
    heads = {"mean dB": 9, "draw dB": 9, "coverage": 10, "CRPS": 10, "forward": 9, "work": 8, "seconds": 9, "CPU": 9}
    print(f"{'method':<18}" + "".join(f"{head:>{width}}" for head, width in heads.items()))
    for name, method in methods.items():
        before = time.process_time()
        samples = reconstruct(prior, given, n=args.draws, seed=0, method=method)
        processor = time.process_time() - before
        scored, cost = evaluate(samples, truth), samples.cost
        single = sum(psnr(draw, truth, peak=peak) for draw in samples.draws) / len(samples)
        rows[name] = {"psnr": scored.psnr, "draw_psnr": single, "coverage": scored.coverage, "crps": scored.crps,
                      "forward": cost.evaluations, "work": cost.work, "seconds": cost.seconds,
                      "processor_seconds": processor}  # fmt: skip
        print(f"{name:<18}{scored.psnr:9.2f}{single:9.2f}{scored.coverage:10.1%}{scored.crps:10.2e}"
              f"{cost.evaluations:9.0f}{cost.work:8.0f}{cost.seconds:9.1f}{processor:9.1f}", flush=True)  # fmt: skip
    *ours, slow = rows.items()
    for name, row in ours:
        clock, processor = (slow[1][key] / row[key] for key in ("seconds", "processor_seconds"))
        print(f"ratio {slow[0]} / {name}: {clock:.1f} by the clock, {processor:.1f} by the processor")
    print(f"tuned weight {weight:.3g}; PSNR by weight: " + ", ".join(f"{w:.3g}: {v:.2f}" for w, v in tried.items()))
    if args.json:
        args.json.write_text(
            json.dumps({"case": case.name, "threads": torch.get_num_threads(), "rows": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
