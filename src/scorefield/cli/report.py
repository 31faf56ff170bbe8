"""``scorefield report``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from scorefield.cli.options import Options, make_command
from scorefield.cli.say import say


class ReportOptions(Options):
    run: Path = Field(description="Folder that 'scorefield reconstruct' wrote.", json_schema_extra={"argument": True})
    out: Path | None = Field(None, description="The page; default RUN/report.html.")
    truth: Path | None = Field(None, description="The true image, when there is one; converted as by evaluate.")
    unit: str | None = Field(None, description="Unit of a truth whose file does not say: HU, or the scan's (default).")
    baseline: list[str] = Field(
        [], description="NAME=FILE of another reconstruction, or linear (FBP, zero-filled) or tv; repeat for more."
    )
    title: str = Field("Reconstruction", description="Heading of the page.")


def run(options: ReportOptions) -> None:
    """Write one self-contained HTML page about a reconstruction."""
    from scorefield.cli.report_baselines import Baselines
    from scorefield.data import read_image
    from scorefield.reconstruction.results import load_draws, load_record
    from scorefield.reports import View, report
    from scorefield.scans.scan import Scan

    samples = load_draws(options.run)
    scan = Scan.load(options.run / "scan.scan")
    own = ("cost", "provenance", "nuisance", "format", "files")  # the samples have the first three
    card = {name: value for name, value in load_record(options.run).items() if name not in own}
    truth = read_image(options.truth).with_unit(options.unit).to_frame(scan.frame).pixels if options.truth else None
    path = options.out or options.run / "report.html"
    given = scan.measurement()
    baselines = dict(Baselines(scan, given, truth).get(text) for text in options.baseline)
    report(
        samples, given, path=path, truth=truth, baselines=baselines, title=options.title, card=card,
        view=View.of(scan),
    )  # fmt: skip
    say(f"Wrote {path}.")


command = make_command(ReportOptions, run)
