"""The demonstration: a real CT and a real MR slice, measured, reconstructed, compared and reported."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from scorefield import shipped
from scorefield.baselines import filtered_back_projection, tuned_total_variation, zero_filled
from scorefield.data import Image, ct_slice, mr_slice
from scorefield.measurement import Measurement
from scorefield.metrics import evaluate, psnr, ssim
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.reconstruction.results import save_run
from scorefield.reports import View, report
from scorefield.runs.progress import Silent
from scorefield.runs.provenance import without_folders
from scorefield.scans.protocols import CartesianMRI, ParallelCT, Protocol, measure
from scorefield.store import checkpoint


@dataclass(frozen=True)
class Case:
    """One slice and how it is measured.

    Args:
        name: short name of the outputs.
        title: heading of the report.
        image: reads the slice.
        protocol: how it is measured.
        prior: name of the shipped prior.
        linear: name and function of the usual linear reconstruction.
    """

    name: str
    title: str
    image: Callable[[], Image]
    protocol: Protocol
    prior: str
    linear: tuple[str, Callable[[Measurement], Tensor]]


CASES = (
    Case(
        "ct",
        "Sparse-view CT, 20 views",
        ct_slice,
        ParallelCT(views=20, photons=1e4),
        "body",
        ("FBP", filtered_back_projection),
    ),
    Case(
        "mri",
        "Fourfold undersampled 8-coil MRI",
        mr_slice,
        CartesianMRI(),
        "brain",
        ("Zero-filled", zero_filled),
    ),
)


@dataclass(frozen=True)
class Score:
    """One line of the comparison; ``coverage``, ``evaluations`` and ``memory_mb`` only where a method has them."""

    method: str
    psnr: float
    ssim: float | None
    seconds: float
    coverage: float | None = None
    evaluations: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class CaseResult:
    """The result of a case: the comparison, and where its report and images are."""

    case: Case
    scores: tuple[Score, ...]
    report: Path
    folder: Path


def run(case: Case, folder: Path, *, draws: int = 19, seed: int = 0, progress: Silent | None = None) -> CaseResult:
    """Measure, reconstruct, compare and report one case into ``folder``."""
    progress = progress or Silent()
    prior = checkpoint.load(shipped.find(case.prior))
    image = case.protocol.prepare(case.image())
    scan = measure(image, case.protocol, seed=seed)
    truth, given = image.pixels, scan.measurement()
    peak = float(truth.abs().max())

    def compare(method: str, build: Callable[[], Tensor]) -> tuple[Score, Tensor]:
        start = time.perf_counter()
        (x,) = progress.track((build() for _ in range(1)), total=1, label=f"{case.name}: {method}")
        return Score(method, psnr(x, truth, peak=peak), ssim(x, truth, peak=peak), time.perf_counter() - start), x

    name, linear = case.linear
    first, first_image = compare(name, lambda: linear(given))
    best, best_image = compare("TV, oracle weight", lambda: tuned_total_variation(given, truth).image)
    samples = reconstruct(prior, given, n=draws, seed=seed, progress=progress)
    scored, cost = evaluate(samples, truth), samples.cost
    ours = Score(
        "scorefield, posterior mean", scored.psnr, scored.ssim, cost.seconds, scored.coverage, cost.evaluations,
        cost.peak_memory_mb,
    )  # fmt: skip
    record = {"prior": case.prior, "title": case.title}
    beside = {"truth": truth, "linear": first_image, "tv": best_image}
    out = save_run(samples, folder / case.name, scan=scan, record=record, beside=beside)
    page = report(
        samples, given, path=folder / f"{case.name}.html", truth=truth, title=case.title,
        view=View.of(scan),
        baselines={name: first_image, "TV, oracle weight": best_image},
        card={"scan": without_folders(image.source), "protocol": case.protocol, "prior": case.prior},
    )  # fmt: skip
    return CaseResult(case, (first, best, ours), Path(page or folder / f"{case.name}.html"), out)
