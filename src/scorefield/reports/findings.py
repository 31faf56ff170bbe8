"""Findings of a report: plain sentences from numbers, by stated rules, and the table of methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from torch import Tensor

from scorefield.data.display import digits
from scorefield.metrics import Evaluation, interval_width, psnr, ssim
from scorefield.reports.reading import Reading
from scorefield.trust.likeness import LikenessCheck
from scorefield.trust.residual import ResidualCheck

if TYPE_CHECKING:
    from scorefield.samples import Samples

LEVEL = 0.9
CLOSE = 0.05  # observed coverage this close to a perfect sampler's is called calibrated
DASH = "\N{EN DASH}"
MEAN = "Posterior mean"


@dataclass(frozen=True)
class Finding:
    """One statement: ``tone`` is "good", "watch" or "note", ``sign`` its symbol (never color alone).

    ``text`` is in plain words, ``numbers`` are behind it.
    """

    tone: str
    title: str
    text: str
    numbers: str = ""

    @property
    def sign(self) -> str:
        return {"good": "✓", "watch": "!", "note": "i"}[self.tone]


@dataclass(frozen=True)
class Row:
    """One line of the table: a method and its cells, already spelled."""

    method: str
    cells: tuple[str, ...]
    strong: bool = False


COLUMNS = (
    "PSNR (dB)",
    "SSIM",
    f"{LEVEL:.0%} coverage",
    "Network evaluations / draw",
    "Time (s)",
    "Peak memory (MB)",
)


def misfit(check: ResidualCheck) -> Finding:
    """Whether the draws explain the scan."""
    title = "Consistent with the scan" if check.passed else "Does not fit the scan to its noise"
    return Finding("good" if check.passed else "watch", title, check.verdict)


def likeness(check: LikenessCheck) -> Finding:
    """Whether something speaks against draws of the kind that the prior learned; no sign of it is no proof."""
    title = "No sign of an image foreign to the prior" if check.passed else "Unlike the prior's training images"
    return Finding("note" if check.passed else "watch", title, check.verdict)


def accuracy(result: Evaluation | None, scores: Mapping[str, float]) -> Finding:
    """The mean's PSNR against the baselines' ``scores``."""
    if result is None:
        return Finding(
            "note",
            "Accuracy not measured",
            "There is no reference image to compare with, as for any new scan.",
        )
    if not scores:
        return Finding("note", f"{result.psnr:.1f} dB against the reference", "No baseline was given to compare with.")
    best = max(scores, key=scores.__getitem__)
    gain = result.psnr - scores[best]
    text = (
        f"The posterior mean reaches {result.psnr:.1f} dB PSNR;"
        f" the best baseline, {best}, reaches {scores[best]:.1f} dB."
    )
    if gain > 0:
        return Finding("good", f"{gain:.1f} dB better than the best baseline", text)
    return Finding("watch", f"{-gain:.1f} dB worse than the best baseline", text)


def uncertainty(samples: Samples, result: Evaluation | None, reading: Reading) -> Finding:
    """Whether the intervals cover the truth as often as they should, if there is a truth."""
    if result is None:
        typical = reading.spell(float(interval_width(samples, LEVEL).double().median()))
        return Finding(
            "note",
            f"Typical {LEVEL:.0%} interval: {typical} wide",
            "Median over pixels. Without a reference this page cannot tell whether the intervals hold;"
            " check them on scans with a known answer.",
        )
    gap = result.coverage - result.expected_coverage
    text = (
        f"{result.coverage:.0%} of the pixels' true values lie inside their {LEVEL:.0%} intervals;"
        f" a perfect sampler with {len(samples.draws)} draws would reach {result.expected_coverage:.0%}."
        f" Intervals are {reading.spell(result.width)} wide on average."
    )
    if abs(gap) <= CLOSE:
        return Finding("good", "Uncertainty is calibrated on this image", text)
    if gap < 0:
        return Finding("watch", "Over-confident: intervals are too narrow", text)
    return Finding("watch", "Cautious: intervals are wider than needed", text)


def table(
    samples: Samples, truth: Tensor | None, result: Evaluation | None, baselines: Mapping[str, Tensor]
) -> list[Row]:
    """Baselines, one draw and the posterior mean."""
    rows = [Row(name, (*_scores(image, truth, result), DASH, DASH, DASH, DASH)) for name, image in baselines.items()]
    cost = samples.cost
    spent = (f"{cost.evaluations:,.0f}", digits(cost.seconds), f"{cost.peak_memory_mb:,.0f}")
    spent = spent if cost.seconds > 0 else (DASH, DASH, DASH)
    if result is not None and truth is not None:
        each = [psnr(draw, truth, peak=result.peak) for draw in samples.draws]
        like = DASH
        if result.ssim is not None:
            like = f"{fmean(ssim(draw, truth, peak=result.peak) for draw in samples.draws):.3f}"
        rows.append(Row("A single draw (average)", (f"{fmean(each):.2f}", like, DASH, DASH, DASH, DASH)))
    covered = f"{result.coverage:.1%}" if result is not None else DASH
    rows.append(Row(MEAN, (*_scores(samples.mean, truth, result), covered, *spent), strong=True))
    return rows


def _scores(image: Tensor, truth: Tensor | None, result: Evaluation | None) -> tuple[str, str]:
    if truth is None or result is None:
        return DASH, DASH
    similar = DASH if result.ssim is None else f"{ssim(image, truth, peak=result.peak):.3f}"
    return f"{psnr(image, truth, peak=result.peak):.2f}", similar
