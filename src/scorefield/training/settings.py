"""Settings of the optimizer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scorefield.errors import InputError


@dataclass(frozen=True)
class Settings:
    """Optimizer settings.

    Args:
        batch: crops per step, over all processes.
        rate: peak learning rate of Adam; linear warm-up, then a cosine to zero over the budget.
        warmup: fraction of the budget spent warming up.
        clip: largest norm of the gradient of the loss per pixel.
        average: decay of the exponential moving average of the weights.
        parts: into how many parts each process cuts its share of a batch, to save memory; the gradients are added up,
            so a step is the same to rounding; over many steps a training amplifies that.
        half: bfloat16 autocast where the hardware computes in it; loss, weights and optimizer stay in single precision.

    Raises:
        InputError: a number out of range.
    """

    batch: int = 16
    rate: float = 1e-3
    warmup: float = 0.02
    clip: float = 1.0
    average: float = 0.999
    parts: int = 1
    half: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or not self.rate > 0 or not self.clip > 0 or not 0 <= self.average < 1:
            raise InputError("Training settings need batch >= 1, rate > 0, clip > 0 and 0 <= average < 1.")
        if not 0 <= self.warmup < 1 or not 1 <= self.parts <= self.batch:
            raise InputError("Training settings need 0 <= warmup < 1 and 1 <= parts <= batch.")

    def schedule(self, used: float) -> float:
        """Learning rate after the fraction ``used`` of the budget."""
        warm = min(1.0, (used + 1e-3) / self.warmup) if self.warmup else 1.0
        return self.rate * warm * 0.5 * (1 + math.cos(math.pi * min(used, 1.0)))
