"""The study's one command; see the package."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

from scorefield.store.atomic import atomic_path

from . import images, plan
from .cells import kept, measured, tuned
from .methods import BASELINES, Learned, Method
from .page import write_page
from .plan import Cell
from .priors import RECIPES, Learner
from .tasks import TASKS

RESULTS = Path(__file__).with_name("results.json")
WORK = 3e11  # multiply-adds of each training; half a minute of a core that does ten thousand million a second
DRAWS = 4


class Study:
    """Where the study reads and writes.

    Args:
        data: folder of the shared data.
        folder: of priors and cells.
        work: multiply-adds of each training.
    """

    def __init__(self, data: Path, folder: Path, work: float = WORK):
        self.data, self.folder, self.work = data, folder, work
        self.method: Callable[[str | Learner], Method] = lru_cache(maxsize=8)(self._method)

    def _method(self, method: str | Learner) -> Method:
        if isinstance(method, str):
            return BASELINES[method]
        prior = method.prior(self.data, self.folder / "priors", self.work)
        return Learned(prior, RECIPES[method.recipe].tilings)

    def run(self, cell: Cell) -> None:
        """Measure a cell that is not there; tune its method first where that has not been done."""
        place = self.folder / "cells"

        def tune(task: str) -> dict:
            slice_ = images.tuning(self.data, cell.kind)
            return tuned(self.method(cell.method), TASKS[task], slice_)

        def measure() -> dict:
            task = cell.shift.tuned or cell.task
            number = kept(place / f"{cell.label}--{task}--tuning-{cell.kind}.json", lambda: tune(task))
            tests = [cell.shift.factor * image for image in images.tests(self.data, cell.shift.tests)]
            found = measured(self.method(cell.method), TASKS[cell.task], tests, number["strength"], self.draws(cell))
            return {"method": cell.label, "task": cell.task, "shift": cell.shift.name, **number, **found}

        kept(place / f"{cell.name}.json", measure)

    @staticmethod
    def draws(cell: Cell) -> int:
        """Draws where a posterior is sampled; one image elsewhere."""
        return 1 if isinstance(cell.method, str) or cell.task.startswith("noise") else DRAWS


def gather(folder: Path, path: Path) -> None:
    """Cells, and how long priors were trained, as one file; a cell takes the place of an older one in the file."""
    cells = [json.loads(file.read_text()) for file in sorted((folder / "cells").glob("*.json"))]
    trained = {
        file.parent.name: json.loads(file.read_text())["card"]["training"]["steps"]
        for file in sorted((folder / "priors").glob("*/prior.json"))
    }
    old = json.loads(path.read_text()) if path.exists() else {"steps": {}, "cells": []}
    merged = {_key(cell): cell for cell in (*old["cells"], *cells) if "method" in cell}
    content = {
        "work": WORK,
        "steps": dict(sorted((old["steps"] | trained).items())),
        "cells": [merged[key] for key in sorted(merged)],
    }
    with atomic_path(path) as temporary:
        text = json.dumps(content, indent=None, separators=(",", ":"))
        temporary.write_text(text.replace('{"method"', '\n{"method"') + "\n")


def _key(cell: dict) -> tuple[str, str, str]:
    return cell["method"], cell["task"], cell["shift"]


def _progress(cell: Cell, begun: float) -> None:
    print(f"{cell.name:<60} {time.monotonic() - begun:7.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    parser.add_argument("--data", type=Path, help="the shared data; without it only the page is written")
    parser.add_argument("--work", type=Path, default=Path("out/study"), help="where priors and cells are kept")
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of the cells to measure")
    parser.add_argument("--page", type=Path, default=Path("docs/study.md"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.data:
        study, begun = Study(args.data, args.work), time.monotonic()
        for cell in plan.plan():
            if not args.only or any(word in cell.name for word in args.only):
                study.run(cell)
                _progress(cell, begun)
        gather(args.work, RESULTS)
    write_page(args.page, json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
