"""``scorefield reconstruct``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from scorefield.cli.options import DEVICE, JSON, Options, device_of, make_command
from scorefield.cli.raw_options import AXES, ECHO, REPETITION, SLICE, VARIABLE, read_scan
from scorefield.cli.say import say, to_json
from scorefield.errors import InputError

if TYPE_CHECKING:
    from scorefield.samples import OnDisk, Samples
    from scorefield.trust import Trust


class ReconstructOptions(Options):
    scan: Path = Field(
        description="The .scan file to reconstruct, or a raw file: 'scorefield inspect' says what is in it.",
        json_schema_extra={"argument": True},
    )
    prior: str = Field(description="A shipped prior's name or a prior folder.")
    out: Path = Field(Path("reconstruction"), description="Folder of the results.")
    draws: int = Field(19, ge=2, le=100_000, description="Posterior draws; the ends of 19 are the 90 % bounds.")
    steps: int | None = Field(None, ge=1, le=100_000, description="Sampler steps, an evaluation each; default 24.")
    method: str | dict[str, Any] | None = Field(
        None,
        description="Another method: NAME:option=value,... of a posterior such as dps:weight=1, or of a kernel such as"
        " daps; in YAML also posterior, kernel and their options. See docs/command_line.md.",
        json_schema_extra={"text": True},
    )
    kernel: str | dict[str, Any] | None = Field(
        None, description="Another kernel for it: NAME:option=value,...", json_schema_extra={"text": True}
    )
    batch: int | None = Field(None, ge=1, le=100_000, description="Draws walked together; default as memory allows.")
    device: str = DEVICE
    as_json: bool = JSON
    level: float = Field(0.9, gt=0, lt=1, description="Probability of the interval bounds.")
    seed: int = Field(0, ge=0, lt=2**63, description="Fixes the draws.")
    resume: bool = Field(False, description="Continue an interrupted sampling to the same draws, or a run to more.")
    predict: float = Field(
        0.0, ge=0, lt=1, description="Share of the data to predict from draws made without it, as 0.05; as long again."
    )
    overwrite: bool = Field(False, description="Replace the run in OUT, if there is one.")
    slice: int | None = SLICE
    echo: int = ECHO
    repetition: int = REPETITION
    axes: str = AXES
    variable: str = VARIABLE


def run(options: ReconstructOptions) -> None:
    """Draw posterior samples of the image behind a scan; write mean, std, interval bounds, draws and run.json."""
    from scorefield import shipped
    from scorefield.cli.methods import method_of
    from scorefield.reconstruction.pipeline import reconstruct
    from scorefield.reconstruction.results import save_run
    from scorefield.runs.progress import Bar
    from scorefield.runs.provenance import without_folders
    from scorefield.samples import OnDisk
    from scorefield.store import checkpoint
    from scorefield.trust import assess, prediction_check

    if _is_finished(options):
        return
    device = device_of(options.device)
    prior = checkpoint.load(shipped.find(options.prior)).to(device)
    scan, notes = read_scan(options.scan, options)
    if notes and not options.as_json:
        say("\n".join(notes))
    measurement = scan.measurement().to(device)
    steps = {} if options.steps is None else {"steps": options.steps}
    method = method_of(options.method or "", options.kernel, measurement, **steps)
    disk = _draws_on_disk(options)
    keep = disk.with_batch(options.batch)
    given = {"n": options.draws, "method": method, "seed": options.seed}
    samples = reconstruct(prior, measurement, **given, keep=keep, progress=Bar())
    prediction = None
    if options.predict:
        prediction = prediction_check(prior, scan, share=options.predict, **given, progress=Bar())
    trust = assess(samples, measurement, prior, prediction=prediction)
    samples = replace(samples, draws=samples.draws.cpu())
    numbers = OnDisk(disk.path).origin["numbers"]  # what it takes to go on to more draws
    record = without_folders({"scan": options.scan, "prior": options.prior}) | {"numbers": numbers}
    record |= {"preparation": notes} if notes else {}
    save_run(trust.attach(samples), options.out, scan=scan, level=options.level, record=record)
    disk.path.unlink(missing_ok=True)
    _say_result(options, samples, trust)


def _say_result(options: ReconstructOptions, samples: Samples, trust: Trust) -> None:
    cost = samples.cost
    if options.as_json:
        say(to_json({"out": str(options.out), "draws": len(samples), "cost": asdict(cost), "trust": trust.record()}))
        return
    say(f"Wrote {options.out}: {len(samples)} draws, {cost.evaluations:.0f} evaluations a draw, {cost.seconds:.0f} s.")
    for sentence in trust.sentences:
        say(sentence)


def _is_finished(options: ReconstructOptions) -> bool:
    """Whether OUT holds the run that is asked to go on, and nothing is left to sample; says so.

    Raises:
        InputError: OUT cannot be written, or holds a run that is neither to be replaced nor to go on.
    """
    from scorefield.reconstruction.results import DRAWS, FILES, load_draws
    from scorefield.store.atomic import check_replaceable

    check_replaceable(options.out, FILES)
    if options.overwrite or not (options.out.expanduser() / DRAWS).exists():
        return False
    if not options.resume:
        raise InputError(f"{options.out} holds a run; add --overwrite to replace it, or choose another --out.")
    draws = len(load_draws(options.out))
    if draws >= options.draws:
        say(f"{options.out} is finished: it holds {draws} draws, and nothing was sampled.")
    return draws >= options.draws


def _draws_on_disk(options: ReconstructOptions) -> OnDisk:
    """The draws finished so far, beside the folder of the results."""
    from scorefield.reconstruction.results import DRAWS, load_draws, load_record
    from scorefield.samples import OnDisk

    folder = options.out.expanduser().resolve()  # a "." has no name
    path = folder.with_name(f".{folder.name}.partial.safetensors")
    if options.overwrite:
        path.unlink(missing_ok=True)
    if path.exists() and not options.resume:
        raise InputError(f"A sampling for {options.out} was interrupted; add --resume, or --overwrite.")
    if path.exists() or options.overwrite or not (folder / DRAWS).exists():
        return OnDisk(path)
    record = load_record(folder)
    if "numbers" not in record:
        raise InputError(f"{options.out} was written by an earlier version, so it cannot go on; add --overwrite.")
    return OnDisk.of(path, load_draws(folder), record["numbers"])


command = make_command(ReconstructOptions, run)
