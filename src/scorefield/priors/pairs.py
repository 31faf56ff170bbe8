r"""Pairs of neighbors: the smallest patches; their density is a histogram, which one can plot.

.. math:: s(x, \sigma)_i = w \sum_{j \sim i} \partial_1 \log p_\sigma(x_i, x_j) \text{ or }
    \partial_2 \log p_\sigma(x_j, x_i),

the field of experts of 2 x 1 and 1 x 2 patches, each pixel first with the neighbor that comes after it.  A pixel has
four neighbors, so w = 1/4 counts its own evidence once.

The score of a histogram is slow, as every bin contributes to every pair; :class:`Tabulated` computes it once at the
nodes of a grid, and interpolates.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Prior, Score, level


class Pairs(Score):
    """Images of any size whose neighbors follow a law of pairs, along every spatial axis alike.

    Args:
        prior: over vectors (2,), the pixel with the smaller index first.
        weight: w; 1 is the plain sum.

    Raises:
        InputError: the weight is not positive and finite.
    """

    def __init__(self, prior: Prior, *, weight: float = 0.25):
        super().__init__()
        if not (math.isfinite(weight) and weight > 0):
            raise InputError(f"The weight of the pairs is a positive finite number, got {weight}.")
        self.prior, self.weight = prior, weight

    @property
    def extent(self) -> float:
        return self.amplitude or self.prior.extent

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        if x.ndim < 3:
            raise InputError(f"Pairs of neighbors need images (B, C, *spatial), got shape {tuple(x.shape)}.")
        levels, total = level(sigma, x).flatten(), torch.zeros_like(x)
        for axis in range(2, x.ndim):
            n = x.shape[axis] - 1
            pairs = torch.stack([x.narrow(axis, 0, n), x.narrow(axis, 1, n)], -1)
            each = levels if len(levels) == 1 else levels.repeat_interleave(pairs[0].numel() // 2)
            first, second = self.prior.score(pairs.reshape(-1, 2), each).reshape(pairs.shape).unbind(-1)
            edge = torch.zeros_like(x.narrow(axis, 0, 1))
            total = total + torch.cat([first, edge], axis) + torch.cat([edge, second], axis)
        return self.weight * total


class Tabulated(Score):
    """The score of a law of pairs at one level, on a grid, with bilinear interpolation; constant beyond the grid.

    Args:
        prior: over vectors (2,).
        sigma: the level of the table; the levels in later calls play no part, as with
            :class:`~scorefield.priors.Frozen`.
        low: first node along each axis.
        high: last node along each axis.
        nodes: number of nodes along each axis.

    Raises:
        InputError: an empty range, or fewer than two nodes.
    """

    table: Tensor
    event_shape = (2,)

    def __init__(self, prior: Prior, sigma: float, *, low: float, high: float, nodes: int = 101):
        super().__init__()
        if not (-math.inf < low < high < math.inf) or nodes < 2:
            raise InputError(f"A table needs finite low < high and nodes >= 2, got {low:g}, {high:g} and {nodes}.")
        self.prior, self.sigma, self.low, self.high, self.nodes = prior, sigma, low, high, nodes
        axis = torch.linspace(low, high, nodes, dtype=torch.float64)
        scores = prior.score(torch.cartesian_prod(axis, axis), sigma)
        self.register_buffer("table", scores.reshape(nodes, nodes, 2).permute(2, 0, 1).contiguous())

    @property
    def extent(self) -> float:
        return self.amplitude or self.prior.extent

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        level(sigma, x)
        places = 2 * (x - self.low) / (self.high - self.low) - 1
        # grid_sample counts the table's last axis first
        grid = places.flip(-1).reshape(1, -1, 1, 2)
        found = F.grid_sample(self.table[None].to(x), grid, padding_mode="border", align_corners=True)
        return found[0, :, :, 0].T
