"""One page about a calibration: whether the intervals of a prior, a method and a scan geometry are right."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from scorefield.calibration import LEVELS, Calibration, Coverage, Quantities, Uniformity, ecdf_bands
from scorefield.data.display import digits
from scorefield.errors import InputError
from scorefield.reports import calibration_figures as figures
from scorefield.reports.card import _versions, rows
from scorefield.reports.findings import Finding, Row
from scorefield.reports.html import render
from scorefield.reports.page import Chart, picture_of
from scorefield.store.atomic import atomic_path
from scorefield.trust.residual import LIMIT

LEVEL = 0.9  # of the verdict
CLOSE = 0.02  # a coverage this close to a perfect sampler's counts as right, however many scans there are
CHANCE = 0.0027  # of a verdict by accident: three standard deviations of a normal law
UNSURE = 0.05  # two standard errors beyond which a coverage says little
P_VALUE = 0.01
UNSURE_RANKS = 0.3  # of the distribution of ranks: a test that only notices larger errors says little


@dataclass(frozen=True)
class Advice:
    """One sentence of what to do, and the line of code that does it."""

    text: str
    code: str = ""


def calibration_report(
    calibration: Calibration,
    *,
    path: str | os.PathLike[str],
    title: str = "Calibration",
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Write one self-contained HTML page: coverage, ranks, spread against error, and how to correct the intervals.

    Args:
        calibration: at least two simulated scans.
        path: the file to write; it appears whole or not at all.
        title: headline.
        card: more rows of the run card, nested plain data.

    Raises:
        InputError: a path that cannot be written.
    """
    kinds = {"Pixels": calibration.pixels, "Regions": calibration.regions}
    verdicts = findings(calibration)
    context = {
        "title": title,
        "summary": _summary(calibration),
        "findings": verdicts,
        "kinds": list(kinds),
        "rows": [_row(level, list(kinds.values())) for level in LEVELS],
        "conventions": _conventions(calibration),
        "advice": _advice(calibration, verdicts),
        "charts": _charts(calibration),
        "card": _card(calibration, card or {}),
    }
    text = render(context, "calibration.html")
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write the report to {path} ({error.strerror}); give a path you may write.") from error
    return Path(path)


def findings(calibration: Calibration) -> list[Finding]:
    """The verdicts: intervals of pixels and regions, misfit, and ranks."""
    same = calibration.n_truths < calibration.n_scans
    return [
        *([_shared(calibration)] if same else []),
        _intervals("pixel", calibration.pixels, same=same),
        _intervals("region", calibration.regions, same=same),
        _misfit(calibration.numbers("residual_z")),
        _exchangeable(calibration),
    ]


def narrow(coverage: Coverage, scans: int) -> bool:
    """Whether intervals cover too little, by more than chance and by more than matters."""
    return coverage.z < -_sure(scans) and coverage.observed < coverage.expected - CLOSE


def wide(coverage: Coverage, scans: int) -> bool:
    """Whether intervals cover too much, by more than chance and by more than matters."""
    return coverage.z > _sure(scans) and coverage.observed > coverage.expected + CLOSE


def _sure(scans: int) -> float:
    """Standard errors beyond chance, whose size is itself known from so many scans only."""
    from scipy.stats import t

    return float(t.isf(CHANCE / 2, scans - 1))


def _shared(calibration: Calibration) -> Finding:
    """What was the same in scans that are not independent."""
    scans, truths = calibration.n_scans, calibration.n_truths
    images = "one image" if truths == 1 else f"{truths} images"
    text = (
        f"What they share, the {'image' if truths == 1 else 'images'}, is tested no more than once; only sampling and"
        " noise differ. The errors below are between scans of the same images, so the numbers hold for these and say"
        " nothing of others: give as many images as scans."
    )
    return Finding("watch", f"{scans} scans of {images} are not independent", text)


def _intervals(kind: str, quantities: Quantities, *, same: bool) -> Finding:
    coverage = quantities.coverage(LEVEL)
    ratio, scans = quantities.spread_skill.ratio, len(quantities.truth)
    text = (
        f"{coverage.observed:.1%} \N{PLUS-MINUS SIGN} {2 * coverage.error:.1%} of the true {kind} values lie inside"
        f" their {LEVEL:.0%} intervals; a perfect sampler would reach {coverage.expected:.1%}."
        f" The spread of the draws is {ratio:.2f} times the error of their mean (1 is right)."
    )
    if narrow(coverage, scans):
        return Finding("watch", f"{kind.capitalize()} intervals are too narrow", text)
    if wide(coverage, scans):
        return Finding("watch", f"{kind.capitalize()} intervals are wider than needed", text)
    if 2 * coverage.error > UNSURE:
        more = math.ceil((2 * coverage.error / UNSURE) ** 2)
        text += f" Some {more} times as many scans would tell to within {UNSURE:.0%}."
        return Finding("note", f"Too few scans to judge {kind} intervals", text)
    if same:
        return Finding("note", f"{kind.capitalize()} intervals hold for these images", text)
    return Finding("good", f"{kind.capitalize()} intervals hold", text)


def _misfit(z: Tensor) -> Finding:
    mean, scans = float(z.mean()), len(z)
    text = (
        f"Mean misfit of draws and data over {scans} scans: z = {mean:+.2f};"
        f" chance stays within {LIMIT / math.sqrt(scans):.2f} of 0."
    )
    if abs(mean) <= LIMIT / math.sqrt(scans):
        return Finding("good", "Draws explain the data to their noise", text)
    words = "Draws miss the data by more than the noise" if mean > 0 else "Draws fit the data too closely"
    return Finding("watch", words, text)


def _exchangeable(calibration: Calibration) -> Finding:
    tests = {"pixels": calibration.pixels.uniformity, "regions": calibration.regions.uniformity,
             "whole images (TARP)": calibration.tarp}  # fmt: skip
    spelled = ", ".join(f"{name} {_p(test)}" for name, test in tests.items())
    if calibration.n_truths < calibration.n_scans:
        text = "The test needs independent scans, and these share their images."
        return Finding("note", "Ranks were not tested", text)
    n, level = calibration.draws, 1 - P_VALUE / len(tests)  # three tests: each at a third of the probability
    bands = ecdf_bands(calibration.n_scans, n, level)
    reach = float(np.abs(bands.high / calibration.n_scans - np.arange(1, n + 1) / (n + 1)).max())
    text = (
        f"Ranks of the truths among their draws: {spelled}. With {calibration.n_scans} scans, an error of their"
        f" distribution below {reach:.0%} is not noticed."
    )
    if min(test.p_value for test in tests.values()) < 1 - level:
        return Finding("watch", "Ranks tell truths from draws", text)
    if reach > UNSURE_RANKS:
        return Finding("note", "Too few scans to test the ranks", text)
    return Finding("good", "No fault in the ranks of the truths", text)


def _p(test: Uniformity) -> str:
    return "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"


def _advice(calibration: Calibration, verdicts: list[Finding]) -> list[Advice]:
    kinds = {"pixels": calibration.pixels, "regions": calibration.regions}
    scans, covered = calibration.n_scans, {name: q.coverage(LEVEL) for name, q in kinds.items()}
    wrong = {name: kinds[name] for name, c in covered.items() if narrow(c, scans) or wide(c, scans)}
    doubts = [finding.title.lower() for finding in verdicts if finding.tone == "watch"]
    few = any(2 * c.error > UNSURE for c in covered.values())
    if not wrong and doubts:
        why = Advice(f"Find out why before using the intervals: {'; '.join(doubts)}.")
        more = Advice("Simulate more scans: wrong intervals would hardly be seen with so few.")
        return [why, more] if few else [why]
    if not wrong and few:
        return [Advice("Simulate more scans: nothing is seen to be wrong, but little would be.")]
    if not wrong:
        return [
            Advice(
                "Use the intervals as they are, for scans like these: this prior, this geometry and noise, and images"
                " like those the truths came from."
            )
        ]
    lines = []
    for name, quantities in wrong.items():
        factor, (low, high) = quantities.factor(LEVEL), quantities.factor_range(LEVEL)
        verb = "Widen" if factor > 1 else "Narrow"
        lines.append(
            Advice(
                f"{verb} the intervals of {name}: {factor:.2f} times the spread about the mean ({low:.2f} to"
                f" {high:.2f}) makes the {LEVEL:.0%} intervals of {name} cover as they should.",
                f"samples = sf.recalibrated(samples, {factor:.2f})",
            )
        )
    lines.append(
        Advice(
            "The factor belongs to this prior, method, geometry and noise. It changes no reconstruction, only how sure"
            " it claims to be; a factor far from 1 asks for another prior or method."
        )
    )
    return lines


def _row(level: float, kinds: list[Quantities]) -> Row:
    coverages = [quantities.coverage(level) for quantities in kinds]
    cells = [f"{coverages[0].expected:.1%}"]
    for coverage, quantities in zip(coverages, kinds, strict=True):
        cells.append(f"{coverage.observed:.1%} \N{PLUS-MINUS SIGN} {2 * coverage.error:.1%}")
        low, high = quantities.factor_range(level)
        cells.append(f"{quantities.factor(level):.2f} ({low:.2f} to {high:.2f})")
    return Row(f"{level:.0%}", tuple(cells), strong=level == LEVEL)


def _summary(calibration: Calibration) -> str:
    kinds = {"FromDensity": "exact draws of the prior", "FromWalk": "draws of the prior"}
    source = kinds.get(calibration.origin["truths"].partition("(")[0], "given images")
    return (
        f"{calibration.n_scans} simulated scans, {calibration.draws} posterior draws of each; the truths are {source}."
        " If the intervals are honest, a truth is nowhere special among the draws of its scan."
    )


def _conventions(calibration: Calibration) -> str:
    pixels, regions = calibration.pixels.truth.shape[1], calibration.regions.truth.shape[1]
    return (
        f"{pixels} pixels and {regions} regions of each scan, chosen at random from the foreground; regions are means"
        f" of blocks of a grid. \N{PLUS-MINUS SIGN} is two standard errors between scans. The factor on the spread"
        " about the mean is the one with which the interval covers as a perfect sampler's would. Fair CRPS"
        f" {digits(float(calibration.numbers('crps').mean()))} on average, in the image's unit."
    )


def _charts(calibration: Calibration) -> list[Chart]:
    ranked = (
        "Flat, within the error bars, is right. Tall ends mean intervals too narrow, a hump too wide, a slope a bias."
        " Bars are two standard errors between scans."
    )
    tarp = (
        "Share of scans below each rank of the truth, ordered by the distance of the blocks to a random point, minus"
        " what is expected. An exact sampler stays inside the band 95% of the time."
    )
    covered = "Observed against nominal coverage; the dashed line is a perfect sampler with as many draws."
    pictures = {
        "Coverage of the intervals": (figures.coverage(calibration), covered),
        "Ranks of pixels": (figures.ranks(calibration.pixels), ranked),
        "Ranks of regions": (figures.ranks(calibration.regions), ranked),
        "Whole images (TARP)": (figures.tarp(calibration), tarp),
    }
    return [Chart(name, picture_of(figure), f"{name}. {note}", note) for name, (figure, note) in pictures.items()]


def _card(calibration: Calibration, given: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    def mean(name: str) -> float:
        return float(calibration.numbers(name).mean())

    cost = {
        "evaluations a draw": mean("evaluations"),
        "vector-Jacobian products a draw": mean("vector_jacobian_products"),
        "time a scan (s)": mean("seconds"),
    }
    groups = {"Notes": dict(given), "Calibration": dict(calibration.origin), "Cost": cost, "Versions": _versions()}
    return [(name, rows(data)) for name, data in groups.items() if data]
