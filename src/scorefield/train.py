r"""Training: ``descend`` is the optimizer loop as an iterator, ``train`` runs it and keeps the averaged weights."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from scorefield.checkpoint import Card
from scorefield.errors import InputError
from scorefield.objectives import Denoising
from scorefield.prior import Prior
from scorefield.progress import Silent
from scorefield.reconstruct import intensity_of
from scorefield.schedule import Geometric

Objective = Callable[[Prior, Tensor, torch.Generator], Tensor]
P = TypeVar("P", bound=Prior)


class Budget(ABC):
    """How long to train; ``used`` grows from 0 to 1 and drives the learning rate."""

    @abstractmethod
    def used(self, step: int, seconds: float) -> float:
        """Fraction of the budget spent after ``step`` steps and ``seconds``."""


@dataclass(frozen=True)
class Steps(Budget):
    """A number of optimizer steps: reproducible to the bit."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"Training needs at least 1 step, got {self.count}.")

    def used(self, step: int, seconds: float) -> float:
        return step / self.count


@dataclass(frozen=True)
class Minutes(Budget):
    """A wall-clock budget; how many steps fit depends on the machine."""

    count: float

    def __post_init__(self) -> None:
        if not self.count > 0:
            raise InputError(f"Training needs a positive number of minutes, got {self.count:g}.")

    def used(self, step: int, seconds: float) -> float:
        return seconds / (60 * self.count)


@dataclass(frozen=True)
class Settings:
    """Optimizer settings.

    Args:
        batch: crops per step.
        rate: peak learning rate of Adam; linear warm-up, then a cosine to zero over the budget.
        warmup: fraction of the budget spent warming up.
        clip: largest gradient norm.
        average: decay of the exponential moving average of the weights.
        half: bfloat16 autocast; the loss, the weights and the optimizer stay in single precision.
    """

    batch: int = 16
    rate: float = 1e-3
    warmup: float = 0.02
    clip: float = 1.0
    average: float = 0.999
    half: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or not self.rate > 0 or not self.clip > 0 or not 0 <= self.average < 1:
            raise InputError("Training settings need batch >= 1, rate > 0, clip > 0 and 0 <= average < 1.")

    def schedule(self, used: float) -> float:
        """Learning rate after the fraction ``used`` of the budget."""
        warm = min(1.0, (used + 1e-3) / self.warmup) if self.warmup else 1.0
        return self.rate * warm * 0.5 * (1 + math.cos(math.pi * min(used, 1.0)))


class Step(NamedTuple):
    """Where the descent is."""

    number: int
    used: float
    loss: float


def crops(images: Sequence[Tensor], side: int, n: int, generator: torch.Generator) -> Tensor:
    """``n`` random crops (n, C, side, side) under random flips and quarter turns.

    Images are chosen in proportion to their number of pixels.

    Args:
        images: tensors (C, H, W), each at least ``side`` in both directions.

    Raises:
        InputError: no images, or one smaller than the crop.
    """
    if not len(images):
        raise InputError("There are no images to train on; give at least one.")
    for i, image in enumerate(images):
        if image.ndim != 3 or min(image.shape[1:]) < side:
            raise InputError(f"Image {i} has shape {tuple(image.shape)}; training needs (C, H, W) with H, W >= {side}.")
    areas = torch.tensor([image[0].numel() for image in images], dtype=torch.float64)
    chosen = torch.multinomial(areas, n, replacement=True, generator=generator)
    coins = torch.rand(n, 4, generator=generator, dtype=torch.float64)
    span = torch.arange(side)
    out = images[0].new_empty(n, len(images[0]), side, side)
    for k in chosen.unique().tolist():  # all crops of one image at once
        mine = (chosen == k).nonzero().squeeze(1)
        free = torch.tensor(images[k].shape[1:]) - side + 1
        top, left = (coins[mine, :2] * free).long().unbind(1)
        rows, columns = top[:, None, None] + span[:, None], left[:, None, None] + span
        out[mine] = images[k][:, rows, columns].transpose(0, 1)
    turns = (4 * coins[:, 2]).long() + 4 * (coins[:, 3] < 0.5)
    for turn in range(8):
        mine = (turns == turn).nonzero().squeeze(1)
        crop = torch.rot90(out[mine], turn % 4, (-2, -1))
        out[mine] = crop.flip(-1) if turn >= 4 else crop
    return out


def descend(
    prior: Prior,
    batches: Iterator[Tensor],
    objective: Objective,
    budget: Budget,
    *,
    settings: Settings,
    generator: torch.Generator,
) -> Iterator[Step]:
    """Adam on ``objective``, one step an item, until the budget is used.

    Raises:
        InputError: the loss stopped being finite.
    """
    parameters = [p for p in prior.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=settings.rate)
    start, count, used = time.monotonic(), 0, 0.0
    while used < 1:
        for group in optimizer.param_groups:
            group["lr"] = settings.schedule(used)
        batch = next(batches)
        with torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=settings.half):
            loss = objective(prior, batch, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
        count += 1
        used = budget.used(count, time.monotonic() - start)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(f"The loss became {value} at step {count}; lower the learning rate or check the images.")
        yield Step(count, used, value)


def _ramped_average(decay: float) -> Callable[..., None]:
    """Exponential moving average that forgets the first steps: after k updates the decay is at most (1+k)/(10+k)."""

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        k = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + k) / (10 + k)))  # pyright: ignore

    return update


def train(
    prior: P,
    images: Sequence[Tensor],
    *,
    objective: Objective | None = None,
    budget: Budget | None = None,
    settings: Settings | None = None,
    seed: int = 0,
    progress: Silent | None = None,
) -> P:
    """Fit ``prior`` to ``images`` and return it with its averaged weights, in evaluation mode.

    Args:
        prior: a learnable prior; ``prior.trainee`` is what learns, on crops of side ``prior.crop``.
        images: tensors (C, H, W) in the prior's units.
        objective: default denoising score matching, sigma log-uniform on [0.005, 2], weighted as the prior asks.
        budget: default two minutes.
        seed: fixes crops, noise and their order; the initial weights are the caller's.

    Raises:
        InputError: nothing to learn from, nothing to learn, or a loss that is not finite.
    """
    settings, budget, progress = settings or Settings(), budget or Minutes(2), progress or Silent()
    trainee = getattr(prior, "trainee", prior)
    if not any(p.requires_grad for p in trainee.parameters()):
        raise InputError(f"{type(prior).__name__} has no weights to train; give a learnable prior.")
    objective = objective or Denoising(Geometric(0.005, 2.0), trainee.weight)  # pyright: ignore[reportArgumentType]
    generator = torch.Generator().manual_seed(seed)
    batches = iter(lambda: crops(images, trainee.crop, settings.batch, generator), None)  # pyright: ignore
    average = AveragedModel(trainee, multi_avg_fn=_ramped_average(settings.average))
    trainee.train()

    def percents() -> Iterator[Step]:
        shown = 0
        for step in descend(trainee, batches, objective, budget, settings=settings, generator=generator):
            average.update_parameters(trainee)
            while shown < 100 * min(step.used, 1):
                shown += 1
                progress.note(f"step {step.number}, loss {step.loss:.4f}")
                yield step

    last = Step(0, 0.0, math.nan)
    for step in progress.track(percents(), total=100, label="training"):
        last = step
    trainee.load_state_dict(average.module.state_dict())
    prior.eval()
    if hasattr(prior, "finish"):
        prior.finish(images, generator)  # pyright: ignore[reportCallIssue]
    prior.trained_steps = last.number
    amplitude = sum(map(intensity_of, images)) / len(images)
    prior.card = Card(type(prior).__name__, f"Trained on {len(images)} image(s), not saved yet.", amplitude=amplitude)
    return prior
