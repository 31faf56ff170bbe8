"""The Monte-Carlo floor: the distance between two samples of exact draws.

Two finite samples of one law are never at distance 0.  The draws of a perfect sampler are as far from exact draws as
other exact draws are, so distances are expressed as multiples of this floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError


class Floor(NamedTuple):
    """The mean distance of exact draws from exact draws.

    Args:
        mean: of the distances.
        error: standard error of ``mean``.
    """

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
    """The mean ``distance`` between two independent samples of ``n`` exact draws.

    Args:
        distance: of two samples (n, *event).
        exact: ``exact(n, generator)`` draws from the law (n, *event), such as the ``rsample`` of a closed-form prior.
        n: number of draws in each sample; as many as the sampler under test makes.
        repeats: independent pairs of samples, at least 2.
        generator: draws the samples.

    Raises:
        InputError: fewer than 2 repeats.
    """
    if repeats < 2:
        raise InputError(f"A floor with its standard error needs repeats >= 2, got {repeats}.")
    distances = torch.stack([distance(exact(n, generator), exact(n, generator)) for _ in range(repeats)]).double()
    return Floor(distances.mean().item(), distances.std().item() / math.sqrt(repeats))
