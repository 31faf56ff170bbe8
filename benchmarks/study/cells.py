"""Measuring one cell, and keeping it: a file for each, whole or not there, so that a stopped study continues."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield.metrics import coverage, crps, expected_coverage, peak_of, psnr
from scorefield.samples import Samples
from scorefield.store.atomic import atomic_path

from .methods import Method
from .tasks import Given, Task

LEVEL = 0.9
Record = dict[str, Any]


def kept(path: Path, make: Callable[[], Record]) -> Record:
    """The record in ``path``, made and written if it is not there."""
    if not path.exists():
        record = make()
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(record) + "\n")
    return json.loads(path.read_text())


def tuned(method: Method, task: Task, image: Tensor) -> Record:
    """The strength of highest PSNR on the tuning slice, and what the others have; one draw each."""
    if method.grid is None:
        return {"strength": 1.0, "tried": {}}
    given = task.given(image, -1)
    tried = method.grid.search(lambda strength: _judged(method.draws(given, strength, 1), given)["psnr"])
    return {"strength": method.grid.best(tried), "tried": {f"{strength:g}": value for strength, value in tried.items()}}


def measured(method: Method, task: Task, images: Sequence[Tensor], strength: float, n: int) -> Record:
    """Scores of each image; every method sees the same data of it."""
    rows = []
    for seed, image in enumerate(images):
        given = task.given(image, seed)
        wall, processor = time.perf_counter(), time.process_time()
        draws = method.draws(given, strength, n)
        spent = {"seconds": time.perf_counter() - wall, "processor": time.process_time() - processor}
        rows.append({**_judged(draws, given), **spent})
    return {"strength": strength, "draws": n, "slices": rows}


def _judged(draws: Tensor, given: Given) -> dict[str, float]:
    """PSNR of the mean; of several draws also CRPS, in units of the image, and coverage."""
    samples, truth = Samples(draws), given.truth
    found = {"psnr": psnr(samples.mean, truth, peak=peak_of(truth))}
    if len(draws) > 1:
        found |= {
            "crps": crps(samples, truth) / given.unit,
            "coverage": coverage(samples, truth, LEVEL),
            "expected": expected_coverage(len(draws), LEVEL),
            "error": float((samples.mean - truth).square().mean().sqrt()) / given.unit,
            "spread": float(samples.std.square().mean().sqrt()) / given.unit,
        }
    return found
