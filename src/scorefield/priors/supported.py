"""A prior of images that are zero outside a known region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorefield.arguments import as_mask
from scorefield.errors import InputError
from scorefield.prior import Denoiser, Prior, Vjp

if TYPE_CHECKING:
    from scorefield.lessons import Lesson


class Supported(Denoiser):
    r"""The denoised image of another prior, zero outside a region: :math:`D_S(x, \sigma) = S\,D(x, \sigma)`.

    The maps of receive coils are zero where there is no object.  The data say nothing about the image there, and a
    prior alone would fill it with tissue.  ``sf.reconstruct`` takes this prior for such maps.

    Args:
        prior: any prior.
        support: True (or 1) in the region, broadcastable to one image (C, *spatial).

    Raises:
        InputError: other numbers than 0 and 1, or an empty region.
    """

    support: Tensor

    def __init__(self, prior: Prior, support: Tensor):
        super().__init__()
        inside = as_mask(support, "support")
        if not bool(inside.any()):
            raise InputError("The support of the image is empty; give True where there is an object.")
        self.prior, self.event_shape = prior, prior.event_shape
        self.register_buffer("support", inside, persistent=False)

    @classmethod
    def example(cls) -> Supported:
        from scorefield.priors.gaussian import DiagonalGaussian

        inside = torch.tensor([[True, True, False, True]]).expand(1, 4, 4)
        mean, variance = torch.zeros(2, 4, 4, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        return cls(DiagonalGaussian(mean, variance), inside)

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.support * self.prior.denoise(x, sigma)

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        denoised, vjp = self.prior.linearize(x, sigma)
        return self.support * denoised, lambda v: vjp(self.support * v)

    def draw(self, generator: torch.Generator | None = None) -> Supported:
        drawn = self.prior.draw(generator)
        return self if drawn is self.prior else Supported(drawn, self.support)

    def lesson(self) -> Lesson[Prior]:
        """The lesson of the prior inside."""
        return self.prior.lesson()
