"""Samplers against exact draws on MCG-diff's mixture of 25 modes, by their score over several seeds.

    python benchmarks/mcg.py [--only NAME ...] [--sizes 8,1 80,4 ...] [--problems 24] [--seeds 8] [--draws 1000]
                             [--work out/mcg] [--json PATH]

Samplers: ``reconstruct``, the default without any choice; ``Particles`` and ``MCGDiff``, with 200 levels and 4
particles a draw; ``exact``, exact draws of the posterior, which shows what chance does to the scores.

Each problem has its own mixture weights, operator and noise, and none of them was used to choose the options of a
sampler (``--first``).  The score is the sliced Wasserstein distance of the draws of a seed from exact samples, over the
distance of exact samples from each other (:class:`scorefield.calibration.Yardstick`), averaged over the seeds.  The
table has the ratio of the means over all problems, with its interval, and the worst problem.  The result of each
problem is kept in a file of its own, so that a run that was interrupted continues.
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
from typing import Any

import torch
from torch import Tensor

from scorefield.calibration import Yardstick, sliced_wasserstein
from scorefield.calibration.benches import MixtureBench, mcg_mixture
from scorefield.kernels import Kernel, MCGDiff, Particles
from scorefield.measurement import Measurement
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.sampling import sample
from scorefield.store.atomic import atomic_path

SIZES = ((8, 1), (8, 4), (80, 1), (80, 4))
FIRST = 1000  # seed of the first problem
LEVELS = 200
DIRECTIONS = 200
REPEATS, PAIRS = 16, 64  # exact samples beside each sample of draws, and pairs behind the floor
DOUBLE = torch.empty(0, dtype=torch.float64)


def default(bench: MixtureBench, draws: int, seed: int) -> Tensor:
    """``reconstruct`` with nothing chosen."""
    return reconstruct(bench.prior, bench.measurement, n=draws, seed=seed).draws


def walked(kernel: Callable[[Measurement], Kernel[Any]], bench: MixtureBench, draws: int, seed: int) -> Tensor:
    """A kernel on the grid of the bench."""
    grid = bench.schedule.grid(LEVELS)
    return sample(bench.prior, kernel(bench.measurement), grid, n=draws, seed=seed, like=DOUBLE).draws


def exact(bench: MixtureBench, draws: int, seed: int) -> Tensor:
    """Exact draws."""
    return bench.posterior.rsample(draws, torch.Generator().manual_seed(10_000 + seed))


SAMPLERS: dict[str, Callable[[MixtureBench, int, int], Tensor]] = {
    "exact": exact,
    "reconstruct": default,
    "Particles": partial(walked, Particles),
    "MCGDiff": partial(walked, MCGDiff),
}


def measure(name: str, size: tuple[int, int], number: int, *, seeds: int, draws: int) -> dict[str, Any]:
    """Mean distances of the seeds, the floor, the score, and seconds a seed for one problem."""
    bench = mcg_mixture(*size, number)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return sliced_wasserstein(a, b, directions=DIRECTIONS, generator=torch.Generator().manual_seed(number))

    generator = torch.Generator().manual_seed(number)
    stick = Yardstick(distance, bench.posterior.rsample, draws, repeats=REPEATS, pairs=PAIRS, generator=generator)
    begun = time.process_time()
    distances = [stick.measure(SAMPLERS[name](bench, draws, seed)) for seed in range(seeds)]
    seconds = (time.process_time() - begun) / seeds
    score = stick.ratio(distances)._asdict()
    noise = float(bench.measurement.noise.std)  # pyright: ignore[reportAttributeAccessIssue]  # it is white
    return {"number": number, "noise": noise, "distances": distances, "floor": stick.floor.mean, **score,
            "seconds": seconds}  # fmt: skip


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result in the file, made first where there is none."""
    if not path.exists():
        result = make()
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def summary(problems: list[dict[str, Any]]) -> dict[str, float]:
    """Ratio of means over problems with its 95 % interval, and the worst problem.

    The interval has the scatter of the seeds only: it says how well these problems are measured.
    """
    distances = torch.tensor([problem["distances"] for problem in problems], dtype=torch.float64)
    floors = sum(problem["floor"] for problem in problems)
    value = float(distances.mean(1).sum()) / floors
    error = float((distances.var(1) / distances.shape[1]).sum().sqrt()) / floors
    worst = max(problems, key=lambda problem: problem["value"])
    seconds = statistics.mean(problem["seconds"] for problem in problems)
    found = {"worst": worst["value"], "worst_low": worst["low"], "worst_number": worst["number"], "seconds": seconds}
    return {"ratio": value, "half_width": 1.96 * error, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(SAMPLERS), choices=list(SAMPLERS), help="samplers")
    parser.add_argument("--sizes", nargs="*", help="unknowns and data as d,m: 80,1 80,4")
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--first", type=int, default=FIRST, help="seed of the first problem")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=Path("out/mcg"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [tuple(map(int, size.split(","))) for size in args.sizes] if args.sizes else SIZES
    print("| sampler | unknowns | data | ratio of means | worst problem | seconds |\n|---|---|---|---|---|---|")
    rows = []
    for (d, m), name in [(size, name) for size in sizes for name in args.only]:
        problems = []
        for number in range(args.first, args.first + args.problems):
            path = args.work / f"{name}-{d}-{m}-{number}-{args.seeds}-{args.draws}.json"
            make = partial(measure, name, (d, m), number, seeds=args.seeds, draws=args.draws)
            problems.append(kept(path, make))
        row = {"sampler": name, "d": d, "m": m, **summary(problems)}
        rows.append(row | {"problems": problems})
        if not math.isfinite(row["ratio"]):
            print(f"{name} gave draws that are not finite")
        print(
            f"| {name} | {d} | {m} | {row['ratio']:.2f} +- {row['half_width']:.2f} | {row['worst']:.2f}"
            f" (above {row['worst_low']:.2f}) | {row['seconds']:.1f} |",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"seeds": args.seeds, "draws": args.draws, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
