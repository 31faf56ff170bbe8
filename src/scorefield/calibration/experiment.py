"""A calibration experiment: true images, and the simulated scan of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scorefield.calibration.truths import FromDensity, Truth, Truths
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.randomness import stream

Simulate = Callable[[Truth, int], Measurement]


@dataclass(frozen=True)
class Experiment:
    """How true images are drawn and how they are measured.

    Args:
        simulate: measures a truth with a seed, such as :class:`~scorefield.calibration.Scanner`.
        truths: the source of true images.
    """

    simulate: Simulate
    truths: Truths

    @classmethod
    def of(cls, source: Experiment | Simulate, prior: Prior) -> Experiment:
        """``source`` itself, or the experiment that measures exact draws of a closed-form ``prior`` by it.

        Raises:
            InputError: ``source`` is a function, and the prior cannot be sampled exactly.
        """
        return source if isinstance(source, Experiment) else cls(source, FromDensity(prior))  # pyright: ignore[reportArgumentType]  # it checks

    def scan(self, number: int, seed: int) -> tuple[Truth, Measurement]:
        """The truth of scan ``number`` and its measurement; the same for the same number and seed."""
        truth = self.truths.draw(number, seed)
        return truth, self.simulate(truth, stream(seed, "scan", number))
