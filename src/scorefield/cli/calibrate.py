"""``scorefield calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from scorefield.cli.options import make_command
from scorefield.cli.say import say
from scorefield.cli.simulate import KINDS, WORDS, Modality, ProtocolOptions

if TYPE_CHECKING:
    from scorefield.calibration import Calibration, Truths
    from scorefield.prior import Prior


class CalibrateOptions(ProtocolOptions):
    prior: str = Field(
        description="A shipped prior's name or a folder that 'scorefield train' wrote.",
        json_schema_extra={"argument": True},
    )
    operator: Modality = Field(Modality.mri, description=KINDS)
    images: list[str] = Field(
        [], description="True images: files, folders or globs, repeat for more; default draws of the prior."
    )
    out: Path = Field(Path("calibration"), description="Folder of the page, the numbers and the simulated scans.")
    scans: int = Field(50, ge=2, le=1_000_000, description="Simulated scans; errors fall with their root.")
    draws: int = Field(19, ge=2, le=100_000, description="Posterior draws of each.")
    steps: int = Field(24, ge=1, le=100_000, description="Sampler steps, one denoiser evaluation each.")
    batch: int | None = Field(None, ge=1, le=100_000, description="Draws walked together; default as memory allows.")
    size: int | None = Field(
        None,
        ge=8,
        le=8192,
        description="Side in pixels: central crop of given images (default whole), or of draws (default 64).",
    )
    axis: int = Field(2, ge=0, le=2, description="Axis along which volumes are cut into slices.")
    unit: str | None = Field(None, description="Unit of images in files that do not say: HU, or 1/mm (default).")
    spacing: float = Field(1.0, gt=0, le=1e3, description="Pixel size in mm of draws of the prior.")
    intensity: float | None = Field(
        None,
        gt=0,
        le=1e12,
        description="Intensity of draws of the prior; default that of water for CT (0.0193/mm), 1 for MRI.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Fixes truths, masks, noise and draws.")


def run(options: CalibrateOptions) -> None:
    """Simulate scans of known truths, reconstruct them, and report whether the intervals hold and how to correct them.

    Finished scans are kept in OUT/scans, so that the same command continues after an interruption.
    """
    from scorefield import shipped
    from scorefield.calibration import Experiment, Prepared, Scanner, calibrate
    from scorefield.reconstruction.method import Method
    from scorefield.reports.calibration import calibration_report, findings
    from scorefield.runs.progress import Bar
    from scorefield.runs.provenance import without_folders
    from scorefield.store import checkpoint
    from scorefield.store.atomic import check_writable

    check_writable(options.out)
    prior = checkpoint.load(shipped.find(options.prior))
    protocol = options.protocol(options.operator)
    truths = Prepared(_images(options), protocol) if options.images else _draws(options, prior)
    calibration = calibrate(
        prior, Experiment(Scanner(protocol, options.spacing), truths), n_scans=options.scans, draws=options.draws,
        method=Method(steps=options.steps, batch=options.batch), seed=options.seed,
        folder=options.out / "scans", progress=Bar(),
    )  # fmt: skip
    title = f"Calibration of the prior '{Path(options.prior).name}' on simulated {WORDS[options.operator]}"
    given = without_folders(options.model_dump(mode="json"))
    card = {"command": {name: _plain(value) for name, value in given.items()}}
    page = calibration_report(calibration, path=options.out / "calibration.html", title=title, card=card)
    _write(calibration, options.out / "calibration.json")
    for finding in findings(calibration):
        say(f"[{finding.sign}] {finding.title}: {finding.text}")
    say(f"Wrote {page}.")


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _images(options: CalibrateOptions) -> Truths:
    """The given images, or their centers."""
    from scorefield.calibration import Cropped, FromImages
    from scorefield.data import Images

    images = FromImages(Images(options.images, axis=options.axis, unit=options.unit))
    return images if options.size is None else Cropped(images, options.size)


def _draws(options: CalibrateOptions, prior: Prior) -> Truths:
    """Walks of the prior, in the units of the scanner."""
    from scorefield.calibration import FromWalk
    from scorefield.schedules import Karras
    from scorefield.units import WATER

    amplitude = prior.amplitude or 1.0
    intensity = options.intensity or {Modality.ct: WATER, Modality.fan: WATER}.get(options.operator, 1.0)
    side = options.size or 64
    levels = Karras(0.005 * amplitude, 3.0 * amplitude)  # from beyond the levels of training to their smallest
    return FromWalk(prior, (1, side, side), levels, intensity=intensity)


def _write(calibration: Calibration, path: Path) -> None:
    from scorefield.calibration import LEVELS
    from scorefield.store.plain import JsonFile

    numbers: dict[str, Any] = {
        "scans": calibration.n_scans,
        "draws": calibration.draws,
        "tarp": calibration.tarp.p_value,
    }
    for name, quantities in {"pixels": calibration.pixels, "regions": calibration.regions}.items():
        numbers[name] = {
            "coverage": [quantities.coverage(level)._asdict() for level in LEVELS],
            "factor": quantities.factor(),
            "factor_range": quantities.factor_range(),
            "spread_over_error": quantities.spread_skill.ratio,
            "uniformity": quantities.uniformity.p_value,
        }
    numbers |= {name: float(calibration.numbers(name).mean()) for name in ("crps", "residual_z", "seconds")}
    JsonFile("the numbers of a calibration", "calibrate again").write(
        path, numbers | {"origin": dict(calibration.origin)}
    )


command = make_command(CalibrateOptions, run)
