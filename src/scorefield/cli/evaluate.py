"""``scorefield evaluate``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from scorefield.cli.options import Options, make_command
from scorefield.cli.say import say


class EvaluateOptions(Options):
    run: Path = Field(description="Folder that 'scorefield reconstruct' wrote.", json_schema_extra={"argument": True})
    truth: Path = Field(description="The true image, any readable format; HU and 1/mm, axes and flips are converted.")
    unit: str | None = Field(None, description="Unit of a truth whose file does not say: HU, or the scan's (default).")
    level: float = Field(0.9, gt=0, lt=1, description="Probability of the interval whose coverage is reported.")
    out: Path | None = Field(None, description="Also write the numbers as JSON; null where infinite.")


def run(options: EvaluateOptions) -> None:
    """Compare samples with the truth: PSNR, SSIM, NMSE, CRPS, interval coverage and width."""
    import json
    import math
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
    for name, value in numbers.items():
        say(f"{name:>10}  {value:.5g}" if isinstance(value, float) else f"{name:>10}  {value}")
    if options.out:
        plain = {name: value if value is None or math.isfinite(value) else None for name, value in numbers.items()}
        with atomic_path(options.out) as temporary:
            temporary.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n")


command = make_command(EvaluateOptions, run)
