r"""Training: fit a prior to images.

``descend`` is the optimizer's loop as an iterator; ``train`` runs it on crops of images, validates, writes snapshots
and returns the prior with its averaged weights.  Nothing random is carried from step to step: batch and noise of step k
come from streams that belong to (seed, k).  Hence a training that was killed continues to the same bits, several
processes take the steps that one would have taken, and images can be read when they are needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial, wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from scorefield.arguments import of_kind
from scorefield.data.images import Images
from scorefield.data.normalized import Normalized, tensors
from scorefield.lessons.lesson import Cut, Learner, Lesson, PreparedBatches
from scorefield.lessons.shelf import Shelf
from scorefield.prior import Prior, as_prior
from scorefield.randomness import stream
from scorefield.runs.progress import Silent
from scorefield.store.checkpoint import Card
from scorefield.store.tensors import digest
from scorefield.training.budget import Budget, Epochs, Minutes, Steps
from scorefield.training.descent import AveragedAdam, StepReport, descend
from scorefield.training.identity import as_json, identity
from scorefield.training.record import Record
from scorefield.training.run import Run
from scorefield.training.settings import Settings
from scorefield.training.validation import Checks, Validation
from scorefield.training.workers import workers
from scorefield.trust.likeness import take_reference
from scorefield.units import intensity_of

__all__ = ["Budget", "Epochs", "Minutes", "Record", "Settings", "StepReport", "Steps", "Validation", "descend", "train"]

P = TypeVar("P", bound=Prior)
F = TypeVar("F", bound=Callable[..., Any])
REPRESENTATIVES = 32  # images that stand for all where reading each would take too long


def _with_old_keywords(function: F) -> F:
    """A ``train`` that also takes ``objective`` and ``batches``, as version 0.1 did: they change the lesson."""

    @wraps(function)
    def accepting(prior: Any, images: Any, *, objective: Any = None, batches: Any = None, **options: Any) -> Any:
        lesson = (prior if hasattr(prior, "lesson") else as_prior(prior)).lesson()
        lesson = lesson if objective is None else replace(lesson, objective=objective)
        lesson = lesson if batches is None else replace(lesson, cut=PreparedBatches(batches, lesson.cut))
        return function(lesson, images, **options)

    return cast(F, accepting)


@_with_old_keywords
def train(
    prior: Learner[P],
    images: Sequence[Tensor] | Images,
    *,
    budget: Budget | None = None,
    settings: Settings | None = None,
    validation: Validation | None = None,
    record: Record | None = None,
    seed: int = 0,
    progress: Silent | None = None,
) -> P:
    """Fit ``prior`` to ``images`` and return it with its final weights, in evaluation mode.

    The final weights are the moving average, or its best state where there is a validation.

    Args:
        prior: a learnable prior, trained as ``prior.lesson()`` says; or its lesson with changes, such as another
            objective (:class:`scorefield.lessons.Lesson`).  By default noise-conditional score matching, sigma
            log-uniform on [0.005, 2], on random crops of the images, turned and flipped.
        images: (C, H, W), real or complex, in the prior's units; :class:`scorefield.data.Images`, which are then taken
            in units of their amplitude; or another lazy sequence, read as needed.
        budget: default two minutes.
        validation: denoising of other images, for the log, the choice of weights and early stopping.
        record: a folder for snapshots and the log; with it a killed training can be resumed.
        seed: fixes crops, noise and their order; the initial weights are the caller's.

    Raises:
        InputError: nothing to learn from, nothing to learn, or a loss that is not finite.
        KeyboardInterrupt: the user stopped it; with a ``record`` a snapshot was written first.
    """
    budget = of_kind(budget or Minutes(2), Budget, "a budget", "give one, such as sf.Minutes(2) or sf.Steps(500)")
    lesson, settings, progress = prior.lesson(), settings or Settings(), progress or Silent()
    images, cut = _readable(images, lesson.cut), lesson.cut
    optimizer = AveragedAdam(lesson.trainee, settings, seed=seed)
    batches = cut.batches(images, settings.batch, seed=seed)
    checks = Checks(validation, cut, seed) if validation else None
    run = Run(lesson.prior, optimizer, checks, record, _fingerprint(images), _fixed(lesson, validation))
    epoch = partial(_epoch, images, cut.side, settings.batch)
    steps = run.steps(batches, lesson.objective, budget.over(epoch))
    shown = progress if workers().rank == 0 else Silent()
    for _ in shown.track(_percents(steps, shown), total=100, label="training"):
        pass
    snapshot = run.finish()
    few = _representatives(images)
    lesson.prior.eval()
    lesson.finish(few, torch.Generator().manual_seed(stream(seed, "finish")))
    lesson.prior.trained_steps = optimizer.step
    _describe(lesson.prior, few, len(images))
    reference = take_reference(lesson.prior, few, seed=seed) if record is not None and record.reference else None
    if reference is not None:
        reference.attach(lesson.prior)
    run.write(snapshot)
    return lesson.prior


def _readable(images: Sequence[Tensor] | Images, cut: Cut) -> Sequence[Tensor]:
    """The images in the units of a prior, read from the disk once each where they fit in memory.

    Raises:
        InputError: by the headers, no crop can be cut from some image.
    """
    found = tensors(images)
    if isinstance(found, Normalized):
        found.check(cut.side)
    return found if isinstance(found, (list, tuple)) else Shelf(found, cut.memory)


def _describe(prior: Prior, few: Sequence[Tensor], number: int) -> None:
    """Give a trained prior its card, and drop the tensors that belonged to its earlier weights."""
    amplitude = sum(map(intensity_of, few)) / len(few)
    prior.card = Card(type(prior).__name__, f"Trained on {number} image(s).", amplitude=amplitude)
    prior.beside = {}


def _representatives(images: Sequence[Tensor]) -> list[Tensor]:
    """All images, or evenly spaced ones of many."""
    few = min(len(images), REPRESENTATIVES)
    return [images[i * len(images) // few] for i in range(few)]


def _fixed(lesson: Lesson[Any], validation: Validation | None) -> dict[str, Any]:
    """What decides the steps and the choice of weights, besides the images, the seed and the settings."""
    checks = {} if validation is None else {"every": validation.every, "crops": validation.crops,
        "sigmas": list(validation.sigmas), "images": _fingerprint(tensors(validation.images))}  # fmt: skip
    return {"lesson": as_json(identity(lesson)), "checks": checks}


def _fingerprint(images: Sequence[Tensor]) -> str:
    """The number of the images and a checksum of the representatives."""
    return f"{len(images)} of checksum {digest(_representatives(images))[:8]}"


def _epoch(images: Sequence[Tensor], side: int, batch: int) -> float:
    """Steps in which crops cover every pixel once on average."""
    shapes = images.shapes if isinstance(images, Shelf) else [tuple(image.shape) for image in images]
    return sum(math.prod(shape[1:]) for shape in shapes) / (side**2 * batch)


def _percents(steps: Iterator[StepReport], progress: Silent) -> Iterator[StepReport]:
    """The steps that complete a hundredth of the budget, each once per hundredth."""
    shown = 0
    for step in steps:
        while shown < 100 * min(step.used, 1):
            shown += 1
            progress.note(f"step {step.number}, loss {step.loss:.4f}")
            yield step
