"""Findings of a report: plain sentences from numbers, by stated rules, and the table of methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from torch import Tensor

from scorefield.data.display import digits
from scorefield.metrics import Evaluation, interval_width, psnr, ssim, uncertain_region
from scorefield.metrics.blocks import BlockMean, block_mean
from scorefield.metrics.uncertainty import inside_interval
from scorefield.reports.reading import Reading
from scorefield.trust.likeness import LikenessCheck
from scorefield.trust.prediction import PredictionCheck
from scorefield.trust.residual import ResidualCheck
from scorefield.trust.verdict import Verdict

if TYPE_CHECKING:
    from scorefield.samples import Samples

LEVEL = 0.9
CLOSE = 0.02  # an error of the coverage that does not matter
CHANCE = 0.0027  # of a verdict by accident: three standard deviations of a normal law
MISSED = 0.05  # probability that an error of the stated size is not noticed
UNSURE = 0.1  # an error of the coverage that a test must notice to say anything
UNSURE_TITLE = "This image is too small to judge the intervals"
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
    return _of(check.words, "good" if check.passed else "watch")


def likeness(check: LikenessCheck) -> Finding:
    """Whether something speaks against draws of the kind that the prior learned; no sign of it is no proof."""
    return _of(check.words, "note" if check.passed else "watch")


def prediction(check: PredictionCheck) -> Finding:
    """Whether draws that were made without a part of the data predict it."""
    return _of(check.words, "good" if check.passed else "watch")


def _of(words: Verdict, tone: str) -> Finding:
    return Finding(tone, words.title, words.text, words.numbers[:1].upper() + words.numbers[1:] + ".")


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


def uncertainty(samples: Samples, truth: Tensor | None, result: Evaluation | None, reading: Reading) -> Finding:
    """Whether the intervals cover the truth as often as they should, if there is a truth."""
    if result is None or truth is None:
        typical = reading.spell(float(interval_width(samples, LEVEL).double().median()))
        return Finding(
            "note",
            f"Typical {LEVEL:.0%} interval: {typical} wide",
            "Median over pixels. Without a reference this page cannot tell whether the intervals hold;"
            " check them on scans with a known answer.",
        )
    found = block_mean(inside_interval(samples, truth, LEVEL), uncertain_region(samples, truth))
    return _coverage(found, result, len(samples.draws), reading.spell(result.width))


def _coverage(found: BlockMean, result: Evaluation, draws: int, width: str) -> Finding:
    """The verdict on a coverage: by a test at three standard deviations, whose power it states."""
    from scipy.stats import t

    expected = result.expected_coverage
    numbers = (
        f"{found.mean:.1%} \N{PLUS-MINUS SIGN} {2 * found.error:.1%} of the pixels' true values lie inside their"
        f" {LEVEL:.0%} intervals (two standard errors between {found.blocks} blocks); a perfect sampler with {draws}"
        f" draws would reach {expected:.1%}. Intervals are {width} wide on average."
    )
    if found.blocks < 2:
        return Finding("note", UNSURE_TITLE, "Too few pixels to tell.", numbers)
    chance = float(t.isf(CHANCE / 2, found.blocks - 1)) * found.error
    seen = chance + float(t.isf(MISSED, found.blocks - 1)) * found.error  # an error that is noticed 95 times in 100
    if found.mean < expected - max(chance, CLOSE):
        text = "On this image they miss the truth more often than they claim, by more than chance: widen them."
        return Finding("watch", "Over-confident: intervals are too narrow", text, numbers)
    if found.mean > expected + max(chance, CLOSE):
        text = "On this image they hold the truth more often than they claim, by more than chance."
        return Finding("watch", "Cautious: intervals are wider than needed", text, numbers)
    if seen > UNSURE:
        text = f"Only a coverage below {max(0.0, expected - seen):.0%} would have been noticed."
        return Finding("note", UNSURE_TITLE, text, numbers)
    text = (
        f"They hold the truth as often as they claim. A coverage below {expected - max(seen, CLOSE):.0%} would have"
        " been noticed; of other images this one says nothing."
    )
    return Finding("good", "Intervals hold on this image", text, numbers)


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
