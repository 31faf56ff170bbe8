"""Particles against exact draws on MCG-diff's mixture of 25 modes.

    python benchmarks/mcg.py [--seeds 20] [--draws 1000] [--levels 200] [--oversampling 4] [--only NAME ...]
                             [--sizes 8,1 80,4 ... | --large] [--json PATH]

Kernels of particles in turn: ``Particles``, which look ahead by vector-Jacobian products, and the paper's ``MCGDiff``.

Each problem has its own mixture weights, operator and noise.  The distance is sliced Wasserstein of order 2 between the
draws and exact draws of the posterior, and the floor is that between exact draws and exact draws of the same number: 1
is as good as exact.  ``--large`` adds 800 dimensions, which take minutes a problem.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from scorefield.calibration import floor, sliced_wasserstein
from scorefield.calibration.benches import mcg_mixture
from scorefield.kernels import Kernel, MCGDiff, Particles
from scorefield.measurement import Measurement
from scorefield.sampling import sample

KERNELS = {cls.__name__: cls for cls in (Particles, MCGDiff)}
DIMENSIONS = ((8, 1), (8, 4), (80, 1), (80, 4))
PAIRS = 6  # of exact samples behind the floor, and exact samples that the draws are compared with


def problem(
    d: int, m: int, seed: int, *, kernel: Callable[[Measurement], Kernel], draws: int, levels: int
) -> dict[str, float]:
    """Distance, floor and seconds for one problem."""
    bench = mcg_mixture(d, m, seed)
    begun = time.perf_counter()
    sigmas, like = bench.schedule.grid(levels), torch.empty(0, dtype=torch.float64)
    drawn = sample(bench.prior, kernel(bench.measurement), sigmas, n=draws, seed=seed, like=like).draws
    seconds = time.perf_counter() - begun

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return sliced_wasserstein(a, b, directions=300, generator=torch.Generator().manual_seed(seed))

    generator = torch.Generator().manual_seed(seed)
    least = floor(distance, bench.posterior.rsample, draws, repeats=PAIRS, generator=generator)
    found = [distance(drawn, bench.posterior.rsample(draws, generator)).item() for _ in range(PAIRS)]
    return {"distance": statistics.mean(found), "floor": least.mean, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--levels", type=int, default=200)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--only", nargs="*", default=list(KERNELS), choices=list(KERNELS), help="kernels")
    parser.add_argument("--oversampling", type=int, default=4, help="particles a draw")
    parser.add_argument("--sizes", nargs="*", help="dimensions as d,m: 80,1 80,4")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("kernel       d  m   mean ratio (s.e.)   mean distance / mean floor   seconds a problem")
    rows = []
    dimensions = (*DIMENSIONS, (800, 4)) if args.large else DIMENSIONS
    if args.sizes:
        dimensions = [tuple(map(int, size.split(","))) for size in args.sizes]
    for (d, m), name in [(size, name) for size in dimensions for name in args.only]:
        kernel = partial(KERNELS[name], oversampling=args.oversampling)
        options = {"kernel": kernel, "draws": args.draws, "levels": args.levels}
        found = [problem(d, m, seed, **options) for seed in range(args.seeds)]
        ratios = [each["distance"] / each["floor"] for each in found]
        error = statistics.stdev(ratios) / math.sqrt(len(ratios)) if len(ratios) > 1 else math.nan
        whole = sum(each["distance"] for each in found) / sum(each["floor"] for each in found)
        took = statistics.mean(each["seconds"] for each in found)
        line = f"{name:10} {d:4d} {m:2d} {statistics.mean(ratios):10.2f} ({error:.2f}) {whole:20.2f} {took:26.1f}"
        print(line, flush=True)
        rows.append({"kernel": name, "d": d, "m": m, "ratio_of_means": whole, "problems": found})
    if args.json:
        args.json.write_text(json.dumps({"draws": args.draws, "levels": args.levels, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
