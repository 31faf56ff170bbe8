"""Patch score of a field of experts against the matrix-product rate of the same run.

    python benchmarks/patch_score.py [--json PATH]

The 3 x 3 network is nine matrix products per patch; a perfect implementation would run at the rate of the products
themselves.
The ratio is (multiply-adds of the score per second) / (multiply-adds of a 4096 x 320 x 320 product per second), one
thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from scorefield.nets import PatchMLP
from scorefield.priors import FieldOfExperts


def seconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Median wall time of ``work`` after one warm-up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    a, b = torch.randn(4096, 320), torch.randn(320, 320)
    product = 4096 * 320 * 320 / seconds(lambda: a @ b, 50)
    rows = []
    with torch.no_grad():
        for size in (3, 5):
            net = PatchMLP(size=size)
            prior = FieldOfExperts(net)
            x = torch.randn(1, 1, 64, 64)
            patches = (64 + size - 1) ** 2
            work = patches * sum(layer.weight.numel() for layer in net.layers)
            took = seconds(lambda prior=prior, x=x: prior.score(x, 0.1))
            rows.append({"patch": size, "patches_per_second": patches / took, "rate_ratio": work / took / product})
            print(f"{size} x {size}: {patches / took:10.0f} patches/s, {work / took / product:.2f} of the product rate")
    if args.json:
        args.json.write_text(json.dumps({"product_madds_per_second": product, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
