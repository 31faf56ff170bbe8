"""``scorefield demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from scorefield.cli.options import Options, make_command
from scorefield.cli.say import say

if TYPE_CHECKING:
    from scorefield.cli.demo_cases import Score


class DemoOptions(Options):
    out: Path = Field(Path("demo"), description="Folder of the reports.")
    draws: int = Field(19, ge=2, le=100_000, description="Posterior draws per scan.")
    seed: int = Field(0, ge=0, lt=2**63, description="Fixes masks, noise and draws.")


def run(options: DemoOptions) -> None:
    """Reconstruct a real CT slice and a real MR slice with shipped priors, compare, and write a report of each."""
    from scorefield.cli import demo_cases as demo
    from scorefield.runs.progress import Bar
    from scorefield.store.atomic import check_writable

    check_writable(options.out)
    for case in demo.CASES:
        result = demo.run(case, options.out, draws=options.draws, seed=options.seed, progress=Bar())
        say(f"\n{case.title}: {options.draws} draws from the prior '{case.prior}'")
        say(_HEADER)
        for score in result.scores:
            say(_line(score))
        say(f"Report: {result.report}   images: {result.folder}\n")
    say("PSNR: peak is the true image's maximum.  SSIM: 7 x 7 uniform window, range up to that peak.")
    say("Coverage: pixels whose truth lies in the central 90 % interval.  Evaluations: network passes a draw.")


_HEADER = f"{'method':<28}{'PSNR dB':>9}{'SSIM':>8}{'coverage':>10}{'evaluations':>13}{'seconds':>9}{'MB':>7}"


def _line(score: Score) -> str:
    def cell(value: float | None, width: int, form: str) -> str:
        return f"{'-' if value is None else format(value, form):>{width}}"

    scores = cell(score.psnr, 9, ".2f") + cell(score.ssim, 8, ".3f") + cell(score.coverage, 10, ".1%")
    costs = cell(score.evaluations, 13, ".0f") + cell(score.seconds, 9, ".1f") + cell(score.memory_mb, 7, ".0f")
    return f"{score.method:<28}{scores}{costs}"


command = make_command(DemoOptions, run)
