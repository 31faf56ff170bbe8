"""The optimizer: the state of a training, and its loop as an iterator."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from scorefield.errors import InputError
from scorefield.lessons.lesson import Batches
from scorefield.nets.half import computes_in_half
from scorefield.objectives import Objective
from scorefield.prior import Prior
from scorefield.randomness import stream
from scorefield.training.budget import Budget
from scorefield.training.settings import Settings
from scorefield.training.workers import Workers, workers


class StepReport(NamedTuple):
    """What one step of the optimizer did."""

    number: int  # counted from 1
    used: float  # fraction of the budget
    loss: float  # objective per real component, before the step
    rate: float  # learning rate
    norm: float  # of the gradient, before it was clipped
    seconds: float  # since the start of the training


class AveragedAdam:
    """Adam on an objective, and the moving average of the weights.

    Step k draws its batch and its noise from streams that belong to (seed, k): a training that continues from saved
    tensors takes the same steps as one without a break.

    Args:
        prior: the prior that learns, in place.
        seed: fixes batches and noise.

    Attributes:
        step: steps taken.
        seconds: time they took.
        average: holds the averaged copy of the prior as ``average.module``.

    Raises:
        InputError: the prior has no weights to train.
    """

    def __init__(self, prior: Prior, settings: Settings, *, seed: int = 0):
        self.prior, self.settings, self.seed = prior, settings, seed
        self.parameters = [p for p in prior.parameters() if p.requires_grad]
        if not self.parameters:
            raise InputError(f"{type(prior).__name__} has no weights to train; give a learnable prior.")
        self.device = self.parameters[0].device
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.rate)
        self.average = AveragedModel(prior, multi_avg_fn=_average(settings.average))
        self.half = settings.half and computes_in_half(self.device)
        self.step, self.seconds = 0, 0.0

    def descend(self, batches: Batches, objective: Objective, budget: Budget) -> Iterator[StepReport]:
        """Yield one step after the other until the budget is used.

        Raises:
            InputError: loss or gradient is not finite; the weights stay those of the step before.
        """
        group = workers()
        self.prior.train()
        used, spent = group.agree(budget.used(self.step, self.seconds)), self.seconds
        begun = time.monotonic()
        while used < 1:
            rate = self.settings.schedule(used)
            loss, norm = self._take(batches, objective, rate, group)
            self.seconds = spent + time.monotonic() - begun
            used = group.agree(budget.used(self.step, self.seconds))
            yield StepReport(self.step, used, loss, rate, norm, self.seconds)

    def _take(self, batches: Batches, objective: Objective, rate: float, group: Workers) -> tuple[float, float]:
        x = batches(self.step, _generator("cpu", self.seed, self.step, "batch")).to(self.device)
        drawn = objective.draw(x, _generator(self.device, self.seed, self.step, "noise"))
        components = len(x) * x[0].numel() * (2 if x.is_complex() else 1)
        self.optimizer.zero_grad(set_to_none=True)
        loss = x.real.new_zeros(())
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(stream(self.seed, self.step, "network"))  # a network may drop units out
            for rows in group.rows(len(x), self.settings.parts):
                with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half):
                    part = objective.terms(self.prior, *(tensor[rows] for tensor in drawn)).sum() / components
                part.backward()
                loss = loss + part.detach()
        loss = float(group.add_up(self.parameters, loss))
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.settings.clip))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise InputError(
                f"The loss became {loss:g} and its gradient {norm:g} at step {self.step + 1}; lower the learning rate"
                " or check the images."
            )
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.average.update_parameters(self.prior)
        self.step += 1
        return loss, norm

    def tensors(self) -> dict[str, Tensor]:
        """The state that the next step depends on, by name."""
        found = {f"model.{name}": t for name, t in self.prior.state_dict().items()}
        found |= {f"average.{name}": t for name, t in self.average.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{i}.{name}": t for name, t in state.items()}
        return {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in found.items()}

    def restore(self, tensors: dict[str, Tensor], *, step: int, seconds: float) -> None:
        """Continue from what :meth:`tensors` gave after ``step`` steps and ``seconds``."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}

        self.prior.load_state_dict(part("model."))
        self.average.load_state_dict(part("average."))
        moments = {i: part(f"optimizer.{i}.") for i in range(len(self.parameters))}
        state = {i: {n: _in_layout(t, self.parameters[i]) for n, t in of.items()} for i, of in moments.items() if of}
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step, self.seconds = step, seconds


def descend(
    prior: Prior,
    batches: Batches,
    objective: Objective,
    budget: Budget,
    *,
    settings: Settings | None = None,
    seed: int = 0,
) -> Iterator[StepReport]:
    """Fit ``prior`` in place: yield one step of Adam on ``objective`` after the other until the budget is used.

    Args:
        prior: a learnable prior.
        batches: the batch of a step, ``batches(step, generator) -> (B, ...)``, in the prior's units.
        settings: as :class:`Settings`; its ``batch`` has no effect: ``batches`` decides.
        seed: fixes the generators.

    Raises:
        InputError: nothing to train, or a loss that is not finite.
    """
    return AveragedAdam(prior, settings or Settings(), seed=seed).descend(batches, objective, budget)


def _generator(device: torch.device | str, *address: int | str) -> torch.Generator:
    seed, *path = address
    return torch.Generator(device).manual_seed(stream(int(seed), *path))


def _in_layout(moment: Tensor, parameter: Tensor) -> Tensor:
    """``moment`` in the memory layout of its parameter; step counters stay as they are."""
    return torch.empty_like(parameter).copy_(moment) if moment.shape == parameter.shape else moment


def _average(decay: float) -> Callable[..., None]:
    """Exponential moving average that forgets the first steps: after k updates the decay is at most (1+k)/(10+k)."""

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        k = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + k) / (10 + k)))  # pyright: ignore

    return update
