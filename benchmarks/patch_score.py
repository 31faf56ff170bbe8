"""Patch score of a field of experts against the matrix-product rate of the same run, one thread.

    python benchmarks/patch_score.py [--json PATH]

A patch network is nine matrix products per patch; a perfect implementation would run at the rate of the products
themselves.  The ratio is (multiply-adds of the score per second) / (multiply-adds of a 4096 x 320 x 320 product per
second).  Score and product take turns and are timed by what the processor spent on them; the fastest of each counts, so
that what else runs on the machine slows neither much.  Half precision is :class:`scorefield.nets.Half` against the same
network in single precision.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from scorefield.nets import Half, PatchMLP
from scorefield.priors import FieldOfExperts


def fastest(*works: Callable[[], object], turns: int = 11) -> list[float]:
    """Smallest processor time of each, taking turns, after one warm-up."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(turns + 1):
        for work, seen in zip(works, times, strict=True):
            start = time.process_time()
            work()
            seen.append(time.process_time() - start)
    return [min(seen[1:]) for seen in times]


def measure(size: int, stride: int) -> dict[str, float]:
    """Rates of one field."""
    net = PatchMLP(size=size)
    prior, half = FieldOfExperts(net, stride=stride), FieldOfExperts(Half(net), stride=stride)
    a, b, x = torch.randn(4096, 320), torch.randn(320, 320), torch.randn(1, 1, 64, 64)
    products, single, double = fastest(
        lambda: [a @ b for _ in range(5)], lambda: prior.score(x, 0.1), lambda: half.score(x, 0.1)
    )
    patches = ((64 + size - 2) // stride + 1) ** 2
    work = patches * sum(layer.weight.numel() for layer in net.layers)
    ratio = (work / single) / (5 * 4096 * 320 * 320 / products)
    found = {"size": size, "stride": stride, "patches_per_second": patches / single, "rate_ratio": ratio}
    return found | {"half_speedup": single / double}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        rows = [measure(size, stride) for size, stride in ((3, 1), (5, 1), (5, 2), (7, 1))]
    for row in rows:
        print(
            "{size} x {size}, stride {stride}: {patches_per_second:8.0f} patches/s, {rate_ratio:.2f} of the product"
            " rate; half precision {half_speedup:.2f} times as fast".format(**row)
        )
    if args.json:
        args.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
