r"""Denoisers of some channels given others, such as the place of a patch, a coarser image, or another contrast.

The state is :math:`(x, z)` with z known.  Its law has no noise in z, so :math:`D(x, z) = (E[x_0 \mid x, z],\ z)`, and
z plays no part in score matching (:class:`scorefield.objectives.GivenChannels`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.lessons.lesson import LEVELS, Lesson
from scorefield.lessons.windows import Windows
from scorefield.objectives.conditional import GivenChannels
from scorefield.objectives.denoising import NoiseConditional
from scorefield.prior import Denoiser, level
from scorefield.priors.network import EDM, Preconditioning

if TYPE_CHECKING:
    from typing import Self


class Conditional(Denoiser):
    """A learned denoiser of the first channels of an image given its last ones, which it returns as they are.

    Args:
        net: called as ``net(x, noise)`` with all channels; the first channels of its output count.
        preconditioning: how the network becomes a denoiser; known channels reach it as they are.
        known: how many channels are known.
        crop: side of the training crops in pixels.

    Raises:
        InputError: no known channel.
    """

    def __init__(
        self, net: nn.Module, preconditioning: Preconditioning | None = None, *, known: int = 2, crop: int = 64
    ):
        super().__init__()
        if known < 1:
            raise InputError(f"Conditional needs at least 1 known channel, got {known}; without any, use Network.")
        self.net, self.preconditioning, self.known, self.crop = net, preconditioning or EDM(), known, crop

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        if x.ndim < 3 or x.shape[1] <= self.known:
            raise InputError(
                f"Conditional takes images and {self.known} known channel(s) together, (B, C + {self.known}, ...), got"
                f" {tuple(x.shape)}."
            )
        unknown, known = x[:, : -self.known], x[:, -self.known :]
        c = self.preconditioning.coefficients(level(sigma, x))
        said = self.net(torch.cat([c.inner * unknown, known], 1), c.noise.reshape(-1))
        return torch.cat([c.skip * unknown + c.out * said[:, : unknown.shape[1]], known], 1)

    def weight(self, sigma: Tensor) -> Tensor:
        """Training weight of the squared denoising error at ``sigma``."""
        return self.preconditioning.weight(sigma)

    def lesson(self) -> Lesson[Self]:
        """Crops of all channels; the known ones get no noise."""
        objective = GivenChannels(NoiseConditional(LEVELS, self.weight), self.known)
        return Lesson(self, self, Windows(self.crop, known=self.known), objective)
