"""``scorefield evaluate``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from scorefield.cli.options import JSON, Options, make_command
from scorefield.cli.say import say, to_json


class EvaluateOptions(Options):
    run: Path = Field(description="Folder that 'scorefield reconstruct' wrote.", json_schema_extra={"argument": True})
    truth: Path = Field(description="The true image, any readable format; HU and 1/mm, axes and flips are converted.")
    unit: str | None = Field(None, description="Unit of a truth whose file does not say: HU, or the scan's (default).")
    level: float = Field(0.9, gt=0, lt=1, description="Probability of the interval whose coverage is reported.")
    out: Path | None = Field(None, description="Also write the numbers as JSON; null where infinite.")
    as_json: bool = JSON


def run(options: EvaluateOptions) -> None:
    """Compare samples with the truth: PSNR, SSIM, NMSE, CRPS, interval coverage and width."""
    from dataclasses import asdict

    from scorefield.data import read_image
    from scorefield.errors import InputError
    from scorefield.metrics import evaluate
    from scorefield.reconstruction.results import load_draws, load_record
    from scorefield.scans.scan import Scan
    from scorefield.store.atomic import atomic_path

    samples = load_draws(options.run)
    load_record(options.run)  # every file of the run is as it was written
    scan = Scan.load(options.run / "scan.scan")
    truth = read_image(options.truth).with_unit(options.unit).to_frame(scan.frame).pixels
    if truth.shape != samples.draws.shape[1:]:
        wanted = tuple(samples.draws.shape[1:])
        raise InputError(f"{options.truth} has shape {tuple(truth.shape)}, the draws {wanted}; give the same image.")
    numbers = asdict(evaluate(samples, truth, level=options.level))
    cells = {name: f"{value:.5g}" if isinstance(value, float) else value for name, value in numbers.items()}
    rows = [f"{name:>10}  {value}" for name, value in cells.items()]
    say(to_json(numbers) if options.as_json else "\n".join(rows))
    if options.out:
        with atomic_path(options.out) as temporary:
            temporary.write_text(to_json(numbers) + "\n")


command = make_command(EvaluateOptions, run)
