"""``scorefield train``."""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from scorefield.cli.options import Options, device_of, make_command
from scorefield.cli.say import say
from scorefield.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scorefield.data.normalized import Normalized
    from scorefield.data.reading import Header
    from scorefield.lessons import Lesson
    from scorefield.lessons.augmentations import Augmentation
    from scorefield.prior import Prior
    from scorefield.training.trainer import Budget, Record, Settings, Validation


class Kind(StrEnum):
    """What to train."""

    patch = "patch"
    network = "network"
    localcnn = "localcnn"
    energy = "energy"
    tiling = "tiling"
    multiscale = "multiscale"
    vp = "vp"


KINDS = (
    "patch: p x p field of experts; network: U-Net; localcnn: network that sees p x p pixels; energy: gradient of a"
    " scalar by a U-Net; tiling: U-Net of patches with their place (PaDIS)."
)
UNTRAINED = {
    Kind.multiscale: "A MultiScale prior is trained part by part, from Python: see docs/training.md.",
    Kind.vp: "A VP prior holds a network that was trained elsewhere, so there is nothing to train; take network.",
}  # what has nothing to learn here


class TrainOptions(Options):
    images: list[str] = Field(description="Images to learn from: files, folders or globs; repeat for more.")
    out: Path = Field(Path("prior"), description="Folder of the new prior; the log is written beside it (OUT.jsonl).")
    kind: Kind = Field(Kind.patch, description=KINDS)
    patch_size: int = Field(3, ge=2, le=17, description="Patch side p in pixels; of localcnn it is odd.")
    crop: int = Field(64, ge=8, le=1024, description="Side of a network's training crops in pixels.")
    device: str | None = Field(None, description="Where to compute: cpu, cuda or mps; default cuda where there is one.")
    minutes: float = Field(1.0, gt=0, le=1e6, description="Wall-clock budget.")
    steps: int | None = Field(
        None, ge=1, le=10**9, description="Reproducible budget in optimizer steps; overrides minutes."
    )
    epochs: float | None = Field(None, gt=0, le=1e9, description="Reproducible budget in times through the data.")
    batch: int | None = Field(
        None, ge=1, le=10**7, description="Crops per step, over all processes; default 1024 patches or 16."
    )
    parts: int = Field(1, ge=1, le=10**6, description="Parts a process cuts its batch into, to save memory.")
    rate: float | None = Field(None, gt=0, le=1e3, description="Peak learning rate of Adam; default .015/p, or .001.")
    warmup: float = Field(0.02, ge=0, lt=1, description="Fraction of the budget spent warming up.")
    clip: float = Field(1.0, gt=0, le=1e12, description="Largest gradient norm, of the loss per pixel.")
    average: float = Field(0.999, ge=0, lt=1, description="Decay of the moving average of the weights.")
    half: bool = Field(False, description="bfloat16 where the hardware computes in it.")
    sigma_min: float = Field(0.005, ge=1e-9, le=1e6, description="Smallest training noise, in intensities.")
    sigma_max: float = Field(1.0, ge=1e-9, le=1e6, description="Largest training noise, in intensities.")
    axis: int | None = Field(None, ge=0, le=2, description="Axis along which volumes are cut; default the last.")
    unit: str | None = Field(None, description="Unit of images in files that do not say: HU for CT.")
    memory: float = Field(2.0, gt=0, le=1e6, description="Gigabytes of images held at a time; more are read as needed.")
    balance: float | None = Field(None, ge=0, le=1, description="Share of textured crops; default as in the images.")
    amplitude: float = Field(1.0, ge=1, le=1e6, description="Brightness varied by up to this factor either way.")
    hold_out: float = Field(0.0, ge=0, lt=1, description="Share of the files kept for validation, whole files only.")
    validate_on: list[str] = Field([], description="Images to validate on instead; repeat for more.")
    validate_every: int = Field(250, ge=1, le=10**9, description="Steps between two validations.")
    patience: int | None = Field(None, ge=1, le=10**9, description="Validations without gain that end the training.")
    snapshot: float = Field(5.0, ge=0, le=1e6, description="Minutes between snapshots.")
    reference: bool = Field(False, description="Also keep what the images look like to the prior, to tell others from.")
    resume: bool = Field(False, description="Continue the training in OUT, to the same bits.")
    tensorboard: Path | None = Field(None, description="Folder for TensorBoard (needs scorefield[tensorboard]).")
    seed: int = Field(0, ge=0, lt=2**63, description="Fixes weights, crops and noise.")


def run(options: TrainOptions) -> None:
    """Learn a prior from images; a 3 x 3 patch prior from one image takes a minute.

    Several processes share a batch under torchrun: torchrun --nproc-per-node 2 -m scorefield train ...
    """
    from scorefield.training.workers import process_group

    with process_group() as workers, _without_denormals():
        _train(options, first=workers.rank == 0)


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Numbers too small for full precision are 0 inside: saturated units make them, which slows a step tenfold."""
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # the caller's numbers are its own


def _train(options: TrainOptions, *, first: bool) -> None:
    import torch

    from scorefield.runs.progress import Bar, Silent
    from scorefield.training.trainer import train

    images, validation = _images(options)
    torch.manual_seed(options.seed)
    prior = _prior(options, images.images.header(0))
    prior.to(device_of(options.device or ("cuda" if torch.cuda.is_available() else "cpu")))
    train(
        _lesson(options, prior), images, budget=_budget(options), settings=_settings(options),
        validation=_validation(options, validation), record=_record(options), seed=options.seed,
        progress=Bar() if first else Silent(),
    )  # fmt: skip
    if first:
        say(f"Wrote the prior {options.out} after {prior.trained_steps} steps.")


def _images(options: TrainOptions) -> tuple[Normalized, Normalized | None]:
    """What is trained on and what is validated on, if anything."""
    from scorefield.data import Images
    from scorefield.data.normalized import Normalized

    axis = 2 if options.axis is None else options.axis
    images = Images(options.images, axis=axis, unit=options.unit)
    if options.axis is None:
        images.check_cut()
    if options.validate_on:
        return Normalized(images), Normalized(Images(options.validate_on, axis=axis, unit=options.unit))
    part, rest = images.split(options.hold_out, seed=options.seed)
    if options.hold_out and not len(rest):
        raise InputError("There is a single file, so none can be held out; name others with --validate-on.")
    return Normalized(part), Normalized(rest) if len(rest) else None


def _prior(options: TrainOptions, image: Header) -> Prior:
    """A new prior of the kind asked for, with random weights.

    Raises:
        InputError: a kind that is not trained here.
    """
    from scorefield import nets, priors

    if options.kind in UNTRAINED:
        raise InputError(UNTRAINED[options.kind])
    channels, crop = image.channels * (2 if image.is_complex else 1), options.crop

    def patch() -> Prior:
        net = nets.PatchMLP(size=options.patch_size, channels=channels, levels=1)
        return priors.FieldOfExperts(net, sigma_min=options.sigma_min, sigma_max=options.sigma_max)

    def tiling() -> Prior:
        patches = priors.Conditional(nets.UNet(channels=channels + 2), priors.Homogeneous(), known=2, crop=crop)
        return priors.Tiling(patches, size=crop, pad=max(1, 24 * crop // 56))  # the published 24 for 56

    makers: dict[Kind, Callable[[], Prior]] = {
        Kind.patch: patch,
        Kind.network: lambda: priors.Network(nets.UNet(channels=channels), priors.Homogeneous(), crop=crop),
        Kind.localcnn: lambda: priors.Network(
            nets.LocalCNN(reach=options.patch_size, channels=channels), priors.Homogeneous(), crop=crop
        ),
        Kind.energy: lambda: priors.Energy(nets.UNet(channels=channels), priors.Homogeneous(), crop=crop),
        Kind.tiling: tiling,
    }
    prior = makers[options.kind]()
    return priors.AsComplex(prior) if image.is_complex else prior


def _lesson(options: TrainOptions, prior: Prior) -> Lesson[Prior]:
    """The prior's own lesson, on the noise levels and the crops that the options ask for.

    Raises:
        InputError: an option of crops, for a kind that cuts its images in another way.
    """
    from dataclasses import replace

    from scorefield.lessons import Windows
    from scorefield.lessons.crops import Balance
    from scorefield.schedules import Geometric

    lesson = prior.lesson().over(Geometric(options.sigma_min, options.sigma_max))
    if not isinstance(lesson.cut, Windows):
        if given := sorted({"balance", "amplitude", "memory"} & options.model_fields_set):
            raise InputError(f"The option '{given[0]}' is for crops, and '{options.kind}' has none; leave it out.")
        return lesson
    balance = None if options.balance is None else Balance(options.balance)
    cut = Windows(lesson.cut.side, augment=_augment(options), balance=balance, memory=int(2**30 * options.memory))
    return replace(lesson, cut=cut)


def _augment(options: TrainOptions) -> tuple[Augmentation, ...]:
    from scorefield.lessons.augmentations import Amplitude, Dihedral

    brightness = (Amplitude(1 / options.amplitude, options.amplitude),) if options.amplitude > 1 else ()
    return (Dihedral(), *brightness)


def _budget(options: TrainOptions) -> Budget:
    from scorefield.training.trainer import Epochs, Minutes, Steps

    if options.steps is not None:
        return Steps(options.steps)
    return Epochs(options.epochs) if options.epochs is not None else Minutes(options.minutes)


def _settings(options: TrainOptions) -> Settings:
    from scorefield.training.trainer import Settings

    # 3 x 3: .005 reaches in a minute what .001 needs ten for; wider layers want smaller steps
    batch, rate = (1024, 0.015 / options.patch_size) if options.kind is Kind.patch else (16, 1e-3)
    batch, rate = options.batch or batch, options.rate or rate
    return Settings(
        batch=batch, rate=rate, warmup=options.warmup, clip=options.clip, average=options.average,
        parts=options.parts, half=options.half,
    )  # fmt: skip


def _validation(options: TrainOptions, images: Normalized | None) -> Validation | None:
    from scorefield.training.trainer import Validation

    if images is None:
        if options.patience is not None:
            raise InputError("--patience counts validations, and there is none; add --hold-out or --validate-on.")
        return None
    return Validation(images, every=options.validate_every, patience=options.patience)


def _record(options: TrainOptions) -> Record:
    from scorefield.runs.provenance import without_folders
    from scorefield.store.checkpoint import Card
    from scorefield.training.trainer import Record

    card = Card(
        options.out.resolve().name, provenance=without_folders(options.images),
        training={"options": without_folders(options.model_dump(mode="json"))},
        limits="Trained by its user; calibrate it before trusting its intervals.",
    )  # fmt: skip
    return Record(
        options.out, minutes=options.snapshot, resume=options.resume, card=card, tensorboard=options.tensorboard,
        reference=options.reference,
    )  # fmt: skip


command = make_command(TrainOptions, run)
