"""``scorefield reconstruct``."""

from __future__ import annotations

from pathlib import Path

import typer
from pydantic import Field

from scorefield.cli.options import Options, make_command


class ReconstructOptions(Options):
    scan: Path = Field(description="The .scan file to reconstruct.", json_schema_extra={"argument": True})
    prior: str = Field(description="A shipped prior's name or a prior folder.")
    out: Path = Field(Path("reconstruction"), description="Folder of the results.")
    draws: int = Field(16, ge=2, description="Posterior draws.")
    steps: int = Field(48, ge=1, description="Sampler steps, one denoiser evaluation each.")
    level: float = Field(0.9, gt=0, lt=1, description="Probability of the interval bounds.")
    seed: int = Field(0, ge=0, description="Fixes the draws.")


def run(options: ReconstructOptions) -> None:
    """Draw posterior samples of the image behind a scan; write mean, std, interval bounds, draws and run.json."""
    from scorefield import checkpoint, shipped
    from scorefield.data.scans import Scan
    from scorefield.progress import Bar
    from scorefield.reconstruct import Method, reconstruct
    from scorefield.results import save_run

    prior = checkpoint.load(shipped.find(options.prior))
    scan = Scan.load(options.scan)
    method = Method(steps=options.steps)
    samples = reconstruct(prior, scan.measurement(), n=options.draws, method=method, seed=options.seed, progress=Bar())
    record = {"scan": str(options.scan), "prior": options.prior}
    save_run(samples, options.out, scan=scan, level=options.level, record=record)
    cost = samples.cost
    typer.echo(
        f"Wrote {options.out}: {len(samples)} draws, {cost.evaluations:.0f} evaluations a draw, {cost.seconds:.0f} s."
    )


command = make_command(ReconstructOptions, run)
