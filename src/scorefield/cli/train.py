"""``scorefield train``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import typer
from pydantic import Field

from scorefield.cli.options import Options, make_command


class Kind(str, Enum):
    """What to train."""

    patch = "patch"
    network = "network"


class TrainOptions(Options):
    images: list[str] = Field(description="Images to learn from: files, folders or globs; repeat for more.")
    out: Path = Field(Path("prior"), description="Folder of the new prior.")
    kind: Kind = Field(Kind.patch, description="patch: p x p field of experts; network: whole-image U-Net.")
    patch_size: int = Field(3, ge=2, le=17, description="Patch side p in pixels.")
    minutes: float = Field(1.0, gt=0, description="Wall-clock budget.")
    steps: int | None = Field(None, ge=1, description="Reproducible budget in optimizer steps; overrides minutes.")
    batch: int | None = Field(None, ge=1, description="Crops per step; default 2048 patches or 16 crops.")
    rate: float = Field(1e-3, gt=0, description="Peak learning rate of Adam.")
    sigma_min: float = Field(0.005, gt=0, description="Smallest training noise, in intensities.")
    sigma_max: float = Field(1.0, gt=0, description="Largest training noise, in intensities.")
    axis: int = Field(2, ge=0, le=2, description="Axis along which volumes are cut into slices.")
    seed: int = Field(0, ge=0, description="Fixes weights, crops and noise.")


def run(options: TrainOptions) -> None:
    """Learn a prior from images; a 3 x 3 patch prior from one image takes a minute."""
    import torch

    from scorefield import checkpoint
    from scorefield.data import Images
    from scorefield.nets import PatchMLP, UNet
    from scorefield.objectives import Denoising
    from scorefield.priors import FieldOfExperts, Homogeneous, Network
    from scorefield.progress import Bar
    from scorefield.reconstruct import intensity_of
    from scorefield.schedule import Geometric
    from scorefield.train import Minutes, Settings, Steps, train

    found = Images(options.images, axis=options.axis)
    tensors = [image.pixels.real / intensity_of(image.pixels) for image in found]
    torch.manual_seed(options.seed)
    noise = Geometric(options.sigma_min, options.sigma_max)
    if options.kind is Kind.patch:
        net = PatchMLP(size=options.patch_size, levels=1)
        prior = FieldOfExperts(net, sigma_min=options.sigma_min, sigma_max=options.sigma_max)
        batch, trainee = options.batch or 2048, prior.trainee
    else:
        prior = trainee = Network(UNet(), Homogeneous())
        batch = options.batch or 16
    budget = Steps(options.steps) if options.steps else Minutes(options.minutes)
    train(
        prior, tensors, objective=Denoising(noise, trainee.weight), budget=budget,
        settings=Settings(batch=batch, rate=options.rate), seed=options.seed, progress=Bar(),
    )  # fmt: skip
    record = {"steps": prior.trained_steps, **options.model_dump(mode="json", exclude={"out"})}
    card = checkpoint.Card(
        options.out.name, f"Trained on {len(tensors)} image(s).", provenance=list(options.images), training=record,
        limits="Trained by its user; calibrate it before trusting its intervals.",
    )  # fmt: skip
    checkpoint.save(prior, options.out, card=card)
    typer.echo(f"Wrote the prior {options.out} after {prior.trained_steps} steps.")


command = make_command(TrainOptions, run)
