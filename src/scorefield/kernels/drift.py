"""The move along the score that Langevin dynamics and gradient ascent share."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from scorefield.kernel import Kernel, M
from scorefield.kernels.steps import Relative, StepSize, as_step
from scorefield.prior import Prior


@dataclass(frozen=True)
class Drift(Kernel[M]):
    """``x + a s(x, sigma)`` at level ``sigma``; a subclass may add noise.

    Args:
        rate: the step a, :class:`Relative` to sigma^2 or :class:`Absolute`; a number is a relative step.

    Raises:
        InputError: a step that is not positive.
    """

    rate: StepSize | float = field(default=Relative(0.1))

    def __post_init__(self) -> None:
        as_step(self.rate)

    def size(self, sigma: Tensor) -> Tensor:
        """The step a (0-d) at level ``sigma`` (0-d).

        Raises:
            InputError: a relative step at sigma = 0.
        """
        return as_step(self.rate).of(sigma**2)

    def ascend(self, prior: Prior, x: Tensor, sigma: Tensor) -> Tensor:
        """``x + a s(x, sigma)``."""
        return x + self.size(sigma) * prior.score(x, sigma)
