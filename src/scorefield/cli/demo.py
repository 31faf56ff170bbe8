"""``scorefield demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import Field

from scorefield.cli.options import Options, make_command

if TYPE_CHECKING:
    from scorefield.cli.demo_cases import Row


class DemoOptions(Options):
    out: Path = Field(Path("demo"), description="Folder of the reports.")
    draws: int = Field(16, ge=2, description="Posterior draws per scan.")
    seed: int = Field(0, ge=0, lt=2**63, description="Fixes masks, noise and draws.")


def run(options: DemoOptions) -> None:
    """Reconstruct a real CT slice and a real MR slice with shipped priors, compare, and write a report of each."""
    from scorefield.cli import demo_cases as demo
    from scorefield.runs.progress import Bar

    for case in demo.CASES:
        outcome = demo.run(case, options.out, draws=options.draws, seed=options.seed, progress=Bar())
        typer.echo(f"\n{case.title}: {options.draws} draws from the prior '{case.prior}'")
        typer.echo(_HEADER)
        for row in outcome.rows:
            typer.echo(_line(row))
        typer.echo(f"Report: {outcome.report}   images: {outcome.folder}\n")
    typer.echo("PSNR: peak is the true image's maximum.  SSIM: 7 x 7 uniform window, range up to that peak.")
    typer.echo("Coverage: pixels whose truth lies in the central 90 % interval.  Evaluations: network passes a draw.")


_HEADER = f"{'method':<28}{'PSNR dB':>9}{'SSIM':>8}{'coverage':>10}{'evaluations':>13}{'seconds':>9}{'MB':>7}"


def _line(row: Row) -> str:
    def cell(value: float | None, width: int, form: str) -> str:
        return f"{'-' if value is None else format(value, form):>{width}}"

    scores = cell(row.psnr, 9, ".2f") + cell(row.ssim, 8, ".3f") + cell(row.coverage, 10, ".1%")
    costs = cell(row.evaluations, 13, ".0f") + cell(row.seconds, 9, ".1f") + cell(row.memory_mb, 7, ".0f")
    return f"{row.method:<28}{scores}{costs}"


command = make_command(DemoOptions, run)
