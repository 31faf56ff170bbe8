"""The Monte-Carlo floor: what a distance reads when nothing is wrong.

Two finite samples of one law are never at distance 0.  A sampler can only be asked to be as close to exact draws as
other exact draws are, so distances are read as multiples of this floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError


class Floor(NamedTuple):
    """Mean distance of exact draws from exact draws, and the standard error of that mean."""

    mean: float
    error: float


def floor(
    distance: Callable[[Tensor, Tensor], Tensor],
    exact: Callable[[int, torch.Generator], Tensor],
    n: int,
    *,
    repeats: int = 8,
    generator: torch.Generator,
) -> Floor:
    """What ``distance`` reads between two independent samples of ``n`` exact draws.

    Args:
        distance: of two samples (n, *event).
        exact: draws from the law, such as the ``rsample`` of a closed-form prior.
        n: number of draws in each sample, as many as the sampler under test gave.
        repeats: independent pairs of samples, at least 2.
        generator: draws the samples.

    Raises:
        InputError: fewer than 2 repeats.
    """
    if repeats < 2:
        raise InputError(f"A floor with its standard error needs repeats >= 2, got {repeats}.")
    found = torch.stack([distance(exact(n, generator), exact(n, generator)) for _ in range(repeats)]).double()
    return Floor(found.mean().item(), found.std().item() / math.sqrt(repeats))
