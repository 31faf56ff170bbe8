"""``scorefield report``."""

from __future__ import annotations

from pathlib import Path

import typer
from pydantic import Field

from scorefield.cli.options import Options, make_command


class ReportOptions(Options):
    run: Path = Field(description="Folder that 'scorefield reconstruct' wrote.", json_schema_extra={"argument": True})
    out: Path | None = Field(None, description="The page; default RUN/report.html.")
    truth: Path | None = Field(None, description="The true image, when there is one.")
    title: str = Field("Reconstruction", description="Heading of the page.")


def run(options: ReportOptions) -> None:
    """Write one self-contained HTML page about a reconstruction."""
    import json

    from scorefield.data import read_image
    from scorefield.errors import InputError
    from scorefield.reconstruction.results import load_draws
    from scorefield.reports import View, report
    from scorefield.scans.scan import Scan

    samples = load_draws(options.run)
    scan = Scan.load(options.run / "scan.scan")
    try:
        card = json.loads((options.run / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{options.run / 'run.json'} cannot be read ({error}); reconstruct again.") from error
    card = {name: value for name, value in card.items() if name not in ("cost", "provenance")}  # the samples have both
    truth = read_image(options.truth).pixels if options.truth else None
    path = options.out or options.run / "report.html"
    report(
        samples, scan.measurement(), path=path, truth=truth, title=options.title, card=card,
        view=View.of(scan),
    )  # fmt: skip
    typer.echo(f"Wrote {path}.")


command = make_command(ReportOptions, run)
