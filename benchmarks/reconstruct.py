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
from functools import partial
from pathlib import Path

import torch

from scorefield import shipped
from scorefield.cli import demo_cases as demo
from scorefield.metrics import evaluate, psnr
from scorefield.posteriors import MMPS
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.scans.protocols import simulate
from scorefield.store import checkpoint
from tuned_dps import dps, tuned_dps  # beside this script


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
    methods = {
        "default": Method(),
        "fast, 16 steps": Method(posterior=partial(MMPS, iterations=3), steps=16),
        f"DPS, {args.steps} steps": dps(weight, args.steps),
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
