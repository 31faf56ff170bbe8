"""Training budgets in multiply-adds: the same arithmetic for every prior, whatever the machine is busy with."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from scorefield.lessons import Batches, Lesson
from scorefield.prior import Prior
from scorefield.training.trainer import Steps


def step_cost(lesson: Lesson[Prior], batches: Batches, probes: int = 1) -> float:
    """Multiply-adds of one training step, forward and backward, the mean of the first ``probes`` batches."""
    trainee, objective, total = lesson.trainee, lesson.objective, 0.0
    mode = trainee.training
    kept = {name: buffer.clone() for name, buffer in trainee.named_buffers()}
    trainee.train()
    for k in range(probes):
        generator = torch.Generator().manual_seed(k)
        drawn = objective.draw(batches(k, generator), generator)
        with FlopCounterMode(display=False) as counter:
            objective.terms(trainee, *drawn).sum().backward()
        total += counter.get_total_flops() / 2
        trainee.zero_grad(set_to_none=True)
    for name, buffer in trainee.named_buffers():  # running variances have not seen the probes
        buffer.copy_(kept[name])
    trainee.train(mode)
    return total / probes


def steps_for(lesson: Lesson[Prior], batches: Batches, work: float, probes: int = 1) -> Steps:
    """As many steps as ``work`` multiply-adds pay for."""
    return Steps(max(1, round(work / step_cost(lesson, batches, probes))))
