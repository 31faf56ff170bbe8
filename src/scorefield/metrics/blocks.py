r"""The mean over an image of what neighbors share, with the error of that mean: by its differences between blocks.

Neighboring pixels err together, so the root of their number says nothing of the error of a mean over them.  Blocks that
are wider than errors reach are nearly independent.  With :math:`v_b` and :math:`w_b` the sums over block b of values
and of weights, the mean is :math:`m = \sum v_b / \sum w_b` and, for B blocks,

.. math:: \mathrm{Var}\, m \approx \frac{B}{B - 1} \frac{\sum_b (v_b - m w_b)^2}{(\sum_b w_b)^2}.

References:
    Cochran, Sampling Techniques, 1977, sections 6.3 and 9A.1 (ratio estimates of clusters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCKS = 8  # along each axis: 64 in a slice
NARROWEST = 4  # pixels


@dataclass(frozen=True)
class BlockMean:
    """A mean over an image.

    Attributes:
        mean: the mean.
        error: its standard error, from the differences between blocks; infinite for a single one.
        blocks: number of blocks with pixels.
    """

    mean: float
    error: float
    blocks: int


def block_mean(values: Tensor, mask: Tensor | None = None) -> BlockMean:
    """The mean of ``values`` (C, *spatial), of all pixels or of those in ``mask``, which broadcasts to them."""
    weights = torch.ones_like(values) if mask is None else mask.to(values).expand_as(values)
    sums, sizes = _sums((values * weights).sum(0)), _sums(weights.sum(0))
    sums, sizes = sums[sizes > 0], sizes[sizes > 0]
    mean, blocks = float(sums.sum() / sizes.sum()), len(sizes)
    if blocks < 2:
        return BlockMean(mean, math.inf, blocks)
    square = float((sums - mean * sizes).square().sum()) * blocks / (blocks - 1)
    return BlockMean(mean, math.sqrt(square) / float(sizes.sum()), blocks)


def _sums(picture: Tensor) -> Tensor:
    """Sums over the blocks of a grid, flattened, float64."""
    sums = picture.double()
    for axis, size in enumerate(picture.shape):
        side = max(NARROWEST, math.ceil(size / BLOCKS))
        index = torch.arange(size, device=sums.device) // side
        shape = [*sums.shape]
        shape[axis] = int(index[-1]) + 1
        sums = sums.new_zeros(shape).index_add_(axis, index, sums)
    return sums.flatten()
