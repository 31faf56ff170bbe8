"""The quantities of an image that a calibration ranks: values of some pixels, means of some regions, and all blocks.

Empty pixels (air) are known without a scan and would dilute every number.  So pixels and regions are chosen in the
foreground, where the mean over truth *and* draws is above a twentieth of its maximum.  This choice treats truth and
draws alike; a choice by the truth alone, or by the draws alone, would bias the ranks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scorefield.calibration.intervals import Coverage, interval_coverage
from scorefield.calibration.ranks import Uniformity, ecdf_test, rank_counts, truth_ranks
from scorefield.calibration.spread import SpreadSkill, needed_factors, recalibration_factor, spread_skill
from scorefield.metrics import expected_coverage

PIXELS, REGIONS = 64, 8  # of each scan: more quantities of one image add little
BLOCKS = {1: 16, 2: 4, 3: 3}  # along each axis, by the number of axes: 16 to 27 blocks an image
FOREGROUND = 0.05  # of the maximum
ERRORS = 2.0  # standard errors on each side, of the range of a factor


@dataclass(frozen=True)
class Observation:
    """The quantities of one scan, of the truth first and then of its n draws.

    Attributes:
        pixels: (n + 1, P), values (magnitudes of complex images) of pixels chosen at random.
        regions: (n + 1, R), means of blocks chosen at random.
        blocks: (n + 1, K), means of all blocks.
    """

    pixels: Tensor
    regions: Tensor
    blocks: Tensor


def observe(truth: Tensor, draws: Tensor, generator: torch.Generator) -> Observation:
    """Compute the quantities of a truth and of its draws; of complex images those of their magnitudes.

    Args:
        truth: (C, *spatial), or (d,).
        draws: (n, C, *spatial), or (n, d).
        generator: chooses pixels and regions.
    """
    stack = torch.cat([truth.unsqueeze(0).to(draws), draws])
    stack = (stack.abs() if stack.is_complex() else stack).double().cpu()
    images = stack.unsqueeze(1) if stack.ndim == 2 else stack.mean(1, keepdim=True)
    blocks = _blocks(images)
    pixels = images.flatten(1)
    return Observation(
        pixels[:, _choose(pixels, PIXELS, generator)], blocks[:, _choose(blocks, REGIONS, generator)], blocks
    )


def _blocks(images: Tensor) -> Tensor:
    """Means over a grid of blocks of images (B, 1, *spatial): (B, K)."""
    axes = images.ndim - 2
    pool: Any = (torch.nn.functional.adaptive_avg_pool1d, torch.nn.functional.adaptive_avg_pool2d,
            torch.nn.functional.adaptive_avg_pool3d)[axes - 1]  # fmt: skip
    return pool(images, [min(BLOCKS[axes], size) for size in images.shape[2:]]).flatten(1)


def _choose(values: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Indices of ``n`` random columns of the foreground of ``values`` (B, Q), without repeats if there are enough."""
    mean = values.mean(0).abs()
    weights = (mean > FOREGROUND * mean.max()).double()
    weights = weights if bool(weights.any()) else torch.ones_like(weights)
    return torch.multinomial(weights, n, replacement=int(weights.sum()) < n, generator=generator)


@dataclass(frozen=True)
class Quantities:
    """One kind of quantity over all scans.

    Args:
        draws: (scans, n, Q).
        truth: (scans, Q).
    """

    draws: Tensor
    truth: Tensor

    @cached_property
    def ranks(self) -> Tensor:
        """Rank of every truth among its draws: (scans, Q)."""
        return truth_ranks(self.draws, self.truth, generator=torch.Generator().manual_seed(0))

    @property
    def rank_counts(self) -> Tensor:
        """How often each rank occurs, all quantities together: (n + 1,)."""
        return rank_counts(self.ranks, self.draws.shape[1])

    @property
    def uniformity(self) -> Uniformity:
        """Test of the ranks of one quantity of each scan, chosen at random; these ranks are independent."""
        return ecdf_test(self.ranks[:, 0], self.draws.shape[1])

    @property
    def spread_skill(self) -> SpreadSkill:
        """Root mean square spread and error."""
        return spread_skill(self.draws, self.truth)

    def coverage(self, level: float) -> Coverage:
        """Coverage of the central intervals of probability ``level``."""
        return interval_coverage(self.draws, self.truth, level)

    def factor(self, level: float = 0.9) -> float:
        """The factor on the spread with which intervals of ``level`` have the coverage of a perfect sampler."""
        return recalibration_factor(self.draws, self.truth, level)

    def factor_range(self, level: float = 0.9) -> tuple[float, float]:
        """The factors whose coverages are two standard errors below and above that of a perfect sampler."""
        needed = needed_factors(self.draws, self.truth, level)
        coverages = (needed <= self.factor(level)).double().mean(1)
        error = ERRORS * float(coverages.std()) / math.sqrt(len(coverages))
        ordered = needed.flatten().sort().values
        wanted = expected_coverage(self.draws.shape[1], level)
        ends = (min(max(math.ceil(q * len(ordered)), 1), len(ordered)) - 1 for q in (wanted - error, wanted + error))
        low, high = (float(ordered[end]) for end in ends)
        return low, high
