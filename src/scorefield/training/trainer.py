r"""Training: fit a prior to images.

``descend`` is the optimizer's loop as an iterator; ``train`` runs it on crops of images, validates, keeps snapshots and
returns the prior with its averaged weights.  Nothing random is carried from step to step: batch and noise of step k
come from streams that belong to (seed, k).  Hence a training that was killed continues to the same bits, several
processes take the steps that one would have taken, and images may be read as they are needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from scorefield.data.images import Images
from scorefield.data.normalized import Normalized, tensors
from scorefield.objectives import NoiseConditional, Objective
from scorefield.prior import Prior
from scorefield.randomness import stream
from scorefield.runs.progress import Silent
from scorefield.schedules import Geometric
from scorefield.store.checkpoint import Card
from scorefield.store.tensors import digest
from scorefield.training.budget import Budget, Epochs, Minutes, Steps
from scorefield.training.crops import Crops
from scorefield.training.descent import Batches, Descent, Step, descend
from scorefield.training.pool import Pool
from scorefield.training.record import Record
from scorefield.training.run import Run
from scorefield.training.settings import Settings
from scorefield.training.validation import Checks, Cut, Validation
from scorefield.training.workers import workers
from scorefield.trust.likeness import take_reference
from scorefield.units import intensity_of

__all__ = ["Budget", "Epochs", "Minutes", "Record", "Settings", "Step", "Steps", "Validation", "descend", "train"]

P = TypeVar("P", bound=Prior)
REPRESENTATIVES = 32  # images that stand for all where one look at each would take too long


def train(
    prior: P,
    images: Sequence[Tensor] | Images,
    *,
    objective: Objective | None = None,
    budget: Budget | None = None,
    settings: Settings | None = None,
    batches: Batches | None = None,
    validation: Validation | None = None,
    record: Record | None = None,
    seed: int = 0,
    progress: Silent | None = None,
) -> P:
    """Fit ``prior`` to ``images`` and return it with its final weights, in evaluation mode.

    The final weights are the moving average, or its best state where there is a validation.

    Args:
        prior: a learnable prior; ``prior.trainee`` is what learns, on crops of side ``prior.crop``.
        images: (C, H, W), real or complex, in the prior's units; :class:`scorefield.data.Images`, which are then taken
            in units of their amplitude; or another lazy sequence, read as needed
            (:class:`scorefield.training.pool.Pool`).
        objective: default noise-conditional score matching, sigma log-uniform on [0.005, 2], weighted as the prior
            asks.
        budget: default two minutes.
        batches: default :class:`scorefield.training.crops.Crops` of the images, turned and flipped, or what the prior
            cuts itself (:meth:`scorefield.priors.Tiling.batches`).
        validation: denoising of other images, for the log, the choice of weights and early stopping.
        record: a folder for snapshots and the log; with it a killed training can be resumed.
        seed: fixes crops, noise and their order; the initial weights are the caller's.

    Raises:
        InputError: nothing to learn from, nothing to learn, or a loss that is not finite.
        KeyboardInterrupt: asked to stop, after writing a snapshot if there is a ``record``.
    """
    settings, progress = settings or Settings(), progress or Silent()
    images = tensors(images)
    trainee: Any = getattr(prior, "trainee", prior)
    descent = Descent(trainee, settings, seed=seed)
    objective = objective or _default_objective(trainee)
    if isinstance(images, Normalized):
        images.check(trainee.crop)
    batches = batches or _batches(prior, images, settings.batch, seed)
    checks = Checks(validation, getattr(prior, "crops", _crops(trainee.crop)), seed) if validation else None
    run = Run(prior, descent, checks, record, _fingerprint(images))
    steps = run.steps(batches, objective, (budget or Minutes(2)).over(_epoch(images, trainee.crop, settings.batch)))
    shown = progress if workers().rank == 0 else Silent()
    for _ in shown.track(_percents(steps, shown), total=100, label="training"):
        pass
    snapshot = run.finish()
    prior.eval()
    few = _representatives(images)
    if hasattr(prior, "finish"):
        prior.finish(few, torch.Generator().manual_seed(stream(seed, "finish")))  # pyright: ignore[reportCallIssue]
    prior.trained_steps = descent.step
    amplitude = sum(map(intensity_of, few)) / len(few)
    prior.card = Card(type(prior).__name__, f"Trained on {len(images)} image(s).", amplitude=amplitude)
    prior.beside = {}  # what was beside the weights before
    reference = take_reference(prior, few, seed=seed) if record is not None and record.reference else None
    if reference is not None:
        reference.attach(prior)
    run.write(snapshot)
    return prior


def _crops(side: int) -> Cut:
    """Random windows of ``side`` pixels, turned and flipped."""
    return lambda images, n: Crops(images, side, n)


def _batches(prior: Prior, images: Sequence[Tensor], n: int, seed: int) -> Batches:
    """Batches of ``n`` crops as the prior cuts them, or windows of images that are read as needed."""
    if hasattr(prior, "batches"):
        return prior.batches(images, n)  # pyright: ignore[reportCallIssue]
    trainee: Any = getattr(prior, "trainee", prior)
    held = tuple(images) if isinstance(images, (list, tuple)) else Pool(images, seed=seed)
    return Crops(held, trainee.crop, n)


def _representatives(images: Sequence[Tensor]) -> list[Tensor]:
    """All images, or evenly spaced ones of many."""
    few = min(len(images), REPRESENTATIVES)
    return [images[i * len(images) // few] for i in range(few)]


def _fingerprint(images: Sequence[Tensor]) -> str:
    """What tells these images from others: their number and a checksum of the representatives."""
    return f"{len(images)} of checksum {digest(_representatives(images))[:8]}"


def _default_objective(trainee: Any) -> Objective:
    """Noise-conditional score matching, as the trainee wants it where it has a say (``matching``)."""
    objective = NoiseConditional(Geometric(0.005, 2.0), trainee.weight)
    return trainee.matching(objective) if hasattr(trainee, "matching") else objective


def _epoch(images: Sequence[Tensor], side: int, batch: int) -> float:
    """Steps in which crops cover every pixel once on average."""
    shapes = images.shapes if isinstance(images, Normalized) else [tuple(image.shape) for image in images]
    return sum(math.prod(shape[1:]) for shape in shapes) / (side**2 * batch)


def _percents(steps: Iterator[Step], progress: Silent) -> Iterator[Step]:
    """The steps that complete a hundredth of the budget, each once per hundredth."""
    shown = 0
    for step in steps:
        while shown < 100 * min(step.used, 1):
            shown += 1
            progress.note(f"step {step.number}, loss {step.loss:.4f}")
            yield step
