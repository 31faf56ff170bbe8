"""Which sampler is right?  Every posterior and kernel on benches with an exact answer; writes docs/which_sampler.md.

    python benchmarks/which_sampler.py [--page docs/which_sampler.md] [--numbers benchmarks/which_sampler.json]
        [--work out/which_sampler] [--only BENCH ...] [--later NAME ...] [--redo NAME ...] [--limit SECONDS]
        [--published]

The pairings are read off the namespaces ``scorefield.posteriors`` and ``scorefield.kernels``, so a new class is
measured without being named here.  What a kernel is good for is found by trying it: one that holds the data walks the
unconditional prior; one that moves images from level to level walks every posterior; one that stays at its level is
repeated there until it has asked a prior with a density about ten times.

Each pairing is measured with 8 seeds, and with 8 more, up to 32, as long as the interval of its score contains 1.2.
Where each draw has a stream of its own, one walk of 8 times as many draws is 8 seeds; kernels whose images depend on
each other (``Kernel.group``) are walked once for each seed.

Each pairing is kept in a file of its own: a run that was interrupted continues, and a second run only measures what is
new.  With ``--published`` the numbers that are committed count as measured where no file is: after a change to one
class, ``--published --redo CLASS`` measures that class and keeps the numbers of the others.
"""

from __future__ import annotations

import argparse
import inspect
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from scorefield import kernels, posteriors
from scorefield.calibration import benches
from scorefield.errors import InputError
from scorefield.kernel import Kernel, Repeat, is_group
from scorefield.prior import Prior
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.runs.progress import Silent
from scorefield.samples import All, Samples
from scorefield.sampling import sample
from scorefield.store.atomic import atomic_path
from which_sampler_judge import SEEN, Judge  # beside this script
from which_sampler_page import DEFAULT, EXACT, write_page
from which_sampler_roles import asked, roles, with_prior

ASKED = 10  # evaluations of a prior with a density at each level, of a kernel that stays there
SEEDS, MOST = 8, 32
DOUBLE = torch.empty(0, dtype=torch.float64)
OVERDUE = "out of time"
NOT_ON_SCANS = {
    "RePaint": "is defined for masks, where putting the data in place is one product; on a scan each of its 2000"
    " projections is a linear solve, of a system too ill-conditioned to put noisy data in place",
}


@dataclass(frozen=True)
class Problem:
    """A bench and how much of it is measured.

    Args:
        name: heading of its table.
        make: builds the bench.
        draws: of each seed of a sampler.
        steps: levels of kernels that walk a posterior.
        sweeps: levels of kernels that hold the data, whose steps are walks themselves.
        pool: exact draws, of which the samples for comparison are picked.
        pairs: samples of exact draws that are compared for the floor.
        kernels: the only kernels that walk posteriors; all when empty.
        scan: the operator is that of a scanner, far from a mask.
    """

    name: str
    make: Callable[[], Any]
    draws: int = 250
    steps: int = 100
    sweeps: int = 150
    pool: int = 100_000
    pairs: int = 1000
    kernels: tuple[str, ...] = ()
    scan: bool = False


SOME = ("Ancestral", "Heun", "Langevin")
FIELD = {"draws": 2, "steps": 40, "sweeps": 20, "pool": 128, "pairs": 200, "kernels": ("DPMpp2M",), "scan": True}
PROBLEMS = (
    Problem("Gaussian, d = 8", benches.tb_g),
    Problem("Mixture of 3, d = 2", benches.tb_m, draws=100, kernels=SOME),
    Problem("Mixture of 25, d = 8", benches.mcg_mixture, draws=100, kernels=SOME),
    Problem("Ising lattice 3 x 3", benches.lattice, draws=60, steps=60, sweeps=60, kernels=SOME[:2]),
    Problem("Gaussian field 64 x 64, CT", benches.field_ct, **FIELD),  # pyright: ignore[reportArgumentType]
    Problem("Gaussian field 64 x 64, MRI", benches.field_mri, **FIELD),  # pyright: ignore[reportArgumentType]
)


class Watch(Silent):
    """Ends a sampling that takes too much processor time."""

    def __init__(self, limit: float):
        self.end = time.process_time() + limit

    def track(self, steps, *, total: int, label: str) -> Iterator:
        for step in steps:
            if time.process_time() > self.end:
                raise InputError(OVERDUE)
            yield step


# --- what there is to measure


@dataclass(frozen=True)
class Pairing:
    """One sampler of one bench: ``draw(seeds, watch)`` gives what it drew with these seeds, one or several a piece."""

    posterior: str
    kernel: str
    levels: int
    draw: Callable[[range, Silent], Sequence[Samples]]


def pairings(problem: Problem, bench: Any) -> Iterator[Pairing]:
    """All samplers of a bench that make sense."""
    given, prior, known = bench.measurement, bench.prior, roles()

    def exact(seeds: range, watch: Silent) -> Sequence[Samples]:
        del watch
        draw = bench.posterior.rsample
        return [Samples(draw(problem.draws, torch.Generator().manual_seed(5 + seed))) for seed in seeds]

    def default(seeds: range, watch: Silent) -> Sequence[Samples]:
        return [reconstruct(prior, given, n=problem.draws, seed=seed, progress=watch) for seed in seeds]

    def conditioned(name: str) -> Prior:
        return bench.posterior if name == "Exact" else getattr(posteriors, name)(prior, given)

    def walker(name: str) -> Kernel:
        kernel = getattr(kernels, name)()
        return Repeat(kernel, max(1, round(ASKED / asked(kernel)))) if name in known.stays else kernel

    yield Pairing("-", EXACT, 0, exact)
    yield Pairing("-", DEFAULT, 0, default)
    for name in known.holds:
        held = lambda name=name: (prior, with_prior(getattr(kernels, name)(given), given))  # noqa: E731
        yield Pairing("-", name, problem.sweeps, walked(problem, bench, problem.sweeps, held))
    for posterior in posteriors.__all__:
        cls = getattr(posteriors, posterior)
        if not (inspect.isclass(cls) and issubclass(cls, Prior)) or inspect.isabstract(cls):
            continue
        for name in (*known.moves, *known.stays):
            if problem.kernels and name not in problem.kernels:
                continue
            both = lambda p=posterior, k=name: (conditioned(p), walker(k))  # noqa: E731
            yield Pairing(posterior, name, problem.steps, walked(problem, bench, problem.steps, both))


def walked(
    problem: Problem, bench: Any, levels: int, build: Callable[[], tuple[Prior, Kernel]]
) -> Callable[[range, Silent], Sequence[Samples]]:
    """The draws of a walk: one walk for all seeds where each draw has a stream of its own, else one for each seed."""
    grid, like = bench.schedule.grid(levels), DOUBLE.new_empty(bench.measurement.shape)

    def draw(seeds: range, watch: Silent) -> Sequence[Samples]:
        prior, kernel = build()
        walks, n = (seeds, problem.draws) if is_group(kernel) else ([seeds.start], problem.draws * len(seeds))
        return [sample(prior, kernel, grid, n=n, seed=seed, like=like, keep=All(progress=watch)) for seed in walks]

    return draw


# --- measuring


def measure(problem: Problem, pairing: Pairing, judge: Callable[[], Judge], limit: float) -> dict[str, Any]:
    """The numbers of one pairing, or the reason why there are none.

    Seeds are added as long as the interval of the score contains 1.2, unless they have taken too long.
    """
    if problem.scan and pairing.kernel in NOT_ON_SCANS:
        return {"reason": NOT_ON_SCANS[pairing.kernel]}
    known, seconds, result = judge(), 0.0, {}
    pieces: list[Samples] = []
    for first in range(0, MOST, SEEDS):
        begun = time.process_time()  # wall time depends on who else is there
        try:
            pieces += pairing.draw(range(first, first + SEEDS), Watch(limit))
            seconds += time.process_time() - begun
            result = known([seed for piece in pieces for seed in piece.draws.split(problem.draws)])
        except (InputError, RuntimeError) as error:  # linear algebra of what diverged fails as RuntimeError
            return {"reason": str(error).splitlines()[0]}
        if not result["low"] <= SEEN <= result["high"] or seconds > limit:
            break
    draws = sum(len(piece.draws) for piece in pieces)
    forward, backward = (sum(getattr(p.cost, name) for p in pieces) / draws for name in ("forward", "backward"))
    return {"evaluations": forward, "vjps": backward, "seconds": seconds / draws * 1000, "shift": known.shift, **result}


def _kept(path: Path, settings: dict[str, Any]) -> Mapping[str, Any] | None:
    """A result made with the same settings; one that ran out of a shorter time is tried again."""
    if not path.exists():
        return None
    record = json.loads(path.read_text())
    same = all(record.get(name) == value for name, value in settings.items() if name != "limit")
    again = record["result"].get("reason") == OVERDUE and record["limit"] < settings["limit"]
    return record["result"] if same and not again else None


def published(path: Path) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """The results that were written before, by bench, posterior and kernel."""
    tables = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {(name, row["posterior"], row["kernel"]): row for name, rows in tables.items() for row in rows}


def write_numbers(path: Path, tables: Mapping[str, list[Mapping[str, Any]]]) -> None:
    """One result a line, with six digits of each number."""
    short = json.loads(json.dumps(tables), parse_float=lambda text: float(f"{float(text):.6g}"))
    benches = (
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]" for name, rows in short.items()
    )
    with atomic_path(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(benches) + "\n}\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=Path("docs/which_sampler.md"))
    parser.add_argument("--numbers", type=Path, default=Path("benchmarks/which_sampler.json"))
    parser.add_argument("--work", type=Path, default=Path("out/which_sampler"))
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of the benches to measure")
    parser.add_argument("--later", nargs="*", default=[], help="posteriors or kernels not to measure now")
    parser.add_argument("--redo", nargs="*", default=[], help="posteriors or kernels to measure again")
    parser.add_argument("--published", action="store_true", help="keep the committed numbers where no file is")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that 8 seeds may take")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # solvers that stop early are what is measured
    tables: dict[str, list[Mapping[str, Any]]] = {}
    before = published(args.numbers) if args.published else {}
    for problem in PROBLEMS:
        wanted = not args.only or any(word.lower() in problem.name.lower() for word in args.only)
        bench = problem.make()
        judge = cache(lambda problem=problem, bench=bench: Judge(bench, problem.draws, problem.pool, problem.pairs))
        rows = tables.setdefault(problem.name, [])
        for pairing in pairings(problem, bench):
            names = {pairing.posterior, pairing.kernel}
            path = args.work / f"{problem.name}--{pairing.posterior}--{pairing.kernel}.json".replace(" ", "_")
            settings = {"draws": problem.draws, "levels": pairing.levels, "limit": args.limit}
            redo = wanted and bool(names & {*args.redo})
            result = None if redo else _kept(path, settings)
            if result is None and not redo:
                result = before.get((problem.name, pairing.posterior, pairing.kernel))
            if result is None and wanted and not names & {*args.later}:
                result = measure(problem, pairing, judge, args.limit)
                with atomic_path(path) as temporary:
                    temporary.write_text(json.dumps({**settings, "result": result}) + "\n")
                words = result.get("reason") or "{distance:.2f} ({low:.2f} to {high:.2f})".format(**result)
                print(f"{path.stem:<60} {words}", flush=True)
            if result is not None:
                rows.append({**result, "posterior": pairing.posterior, "kernel": pairing.kernel})
    settings = {p.name: {"draws": p.draws, "steps": p.steps, "sweeps": p.sweeps} for p in PROBLEMS}
    write_numbers(args.numbers, tables)
    tables = json.loads(args.numbers.read_text(encoding="utf-8"))  # the page follows from what is committed
    write_page(args.page, tables, settings, roles().others)
    print(f"Wrote {args.page}.")


if __name__ == "__main__":
    main()
