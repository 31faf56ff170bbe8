r"""Two measurements of one image as one: stacked data, stacked operator, each part with its own noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.measurement import Measurement
from scorefield.noise import Noise
from scorefield.operators.stack import Stack


class Joint(Noise):
    """Independent noise on two blocks of flattened data, each with its own law.

    Args:
        first: noise of the first block.
        second: noise of the second block.
        shapes: shapes of the two blocks of data, without the batch.
    """

    def __init__(self, first: Noise, second: Noise, shapes: tuple[tuple[int, ...], tuple[int, ...]]):
        self.first, self.second, self.shapes = first, second, shapes

    @property
    def variance(self) -> Tensor:
        blocks = zip((self.first, self.second), self.shapes, strict=True)
        return torch.cat([noise.variance.expand(shape).reshape(math.prod(shape)) for noise, shape in blocks])


def join(first: Measurement, second: Measurement) -> Measurement:
    """``y = (y1, y2)`` of one image, with operator (A1; A2) and independent noises.

    A posterior given ``join(first, second)`` knows what both know.  For :class:`~scorefield.posteriors.MMPS` on
    Gaussian priors, and for exact posteriors, so does the posterior given first that is conditioned again on
    second; the other approximations give something else in either order.

    Raises:
        InputError: images of different shapes, or data of which only one is complex.
    """
    operator = Stack(first.operator, second.operator)
    noise = Joint(first.noise, second.noise, (first.operator.shape_out, second.operator.shape_out))
    return Measurement(operator.flatten(first.y, second.y), operator, noise)
