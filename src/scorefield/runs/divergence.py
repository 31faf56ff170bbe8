"""Which part of a sampling was not finite: the denoiser, the product by its Jacobian, or the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from scorefield.errors import Diverged
from scorefield.prior import Prior, Vjp
from scorefield.runs.twins import Methods, Observer

DENOISER, PRODUCT, STEP = "denoiser", "product", "step"


def is_finite(x: Tensor) -> bool:
    """Whether all numbers are finite; waits for the device."""
    return bool(x.isfinite().all())


class Watch(Observer):
    """Notes the first time that a leaf prior answers finite numbers with numbers that are not finite.

    Attributes:
        culprit: ``"denoiser"`` or ``"product"``; ``"step"`` as long as every answer was finite.
        prior: the name of that prior.
        size: the largest magnitude of the images that the prior was given.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the note."""
        self.culprit, self.prior, self.size = STEP, "", 0.0

    def error(self, kernel: str, level: float) -> Diverged:
        """The error to raise for a step of ``kernel`` from ``level``."""
        reason = {
            DENOISER: f"the denoiser of {self.prior} is not finite for images of magnitude up to {self.size:.3g};"
            " use more steps or smaller ones if these are far beyond the prior's units, else mend the prior",
            PRODUCT: f"the product by the Jacobian of {self.prior} is not finite, though its denoised images are;"
            " mend the derivative, or use a posterior that does without, such as DDNM",
            STEP: "the draws are not finite, though the answers of the prior are; use more steps or smaller ones",
        }[self.culprit]
        return Diverged(f"{kernel} diverged at level {level:.4g}: {reason}.", level=level, culprit=self.culprit)

    def prior_methods(self, prior: Prior) -> Methods:
        cls = type(prior)

        def note(culprit: str, question: Tensor, answer: Tensor) -> None:
            if self.culprit == STEP and is_finite(question) and not is_finite(answer):
                self.culprit, self.prior, self.size = culprit, cls.__name__, float(question.detach().abs().max())

        def watch(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def call(self: Prior, x: Tensor, sigma: Any = 0.0) -> Tensor:
                answer = function(self, x, sigma)
                note(DENOISER, x, answer)
                return answer

            return call

        def linearize(self: Prior, x: Tensor, sigma: Any) -> tuple[Tensor, Vjp]:
            denoised, vjp = cls.linearize(self, x, sigma)
            note(DENOISER, x, denoised)

            def pull(v: Tensor) -> Tensor:
                answer = vjp(v)
                note(PRODUCT, v, answer)
                return answer

            return denoised, pull

        single = {name: watch(getattr(cls, name)) for name in ("denoise", "score", "log_prob")}
        return {**single, "linearize": linearize}
