r"""Trajectories of a plane: where a scanner samples k-space, in cycles per pixel, (readouts, samples, 2).

References:
    Winkelmann, Schaeffter, Koehler, Eggers, Doessel, "An optimal radial profile order based on the golden ratio for
    time-resolved MRI", IEEE Trans. Med. Imaging 2007; Ahn, Kim, Cho, "High-speed spiral-scan echo planar NMR imaging",
    IEEE Trans. Med. Imaging 1986.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError

GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2  # 111.25 degrees


def radial(spokes: int, samples: int, *, step: float | None = None) -> Tensor:
    r"""Spokes through the center, :math:`k = \rho\,(\cos\theta, \sin\theta)`, (spokes, samples, 2), float64.

    On each spoke :math:`\rho = (i - \lfloor n/2 \rfloor)/n` for its n samples, so index ``n // 2`` is the center.
    Samples of twice the size of the image are a readout with twofold oversampling.

    Args:
        spokes: number of spokes.
        samples: on each.
        step: angle from a spoke to the next, in radians; None spreads the spokes evenly over half a turn, and
            ``GOLDEN_ANGLE`` spreads any run of them nearly so.

    Raises:
        InputError: no spoke, or fewer than two samples.
    """
    _check(spokes, samples)
    angles = torch.arange(spokes, dtype=torch.float64) * (math.pi / spokes if step is None else step)
    radii = (torch.arange(samples, dtype=torch.float64) - samples // 2) / samples
    return radii.reshape(-1, 1) * torch.stack([angles.cos(), angles.sin()], -1).unsqueeze(1)


def spiral(interleaves: int, samples: int, *, turns: float) -> Tensor:
    r"""Spirals of Archimedes, :math:`\rho = \theta/(4\pi\,\text{turns})`, (interleaves, samples, 2), float64.

    Each runs from the center to half a cycle per pixel.  Samples are at :math:`\rho \propto \sqrt{t}`,
    nearly evenly along the curve, as at constant linear speed.

    Args:
        interleaves: number of spirals, turned evenly over a full turn.
        samples: on each.
        turns: of each spiral; n / (2 interleaves) of them sample a field of n pixels fully.

    Raises:
        InputError: no spiral, fewer than two samples, or turns that are not positive.
    """
    _check(interleaves, samples)
    if not (math.isfinite(turns) and turns > 0):
        raise InputError(f"A spiral of {turns:g} turns is none; give a positive number.")
    along = torch.linspace(0, 1, samples, dtype=torch.float64).sqrt()
    start = 2 * math.pi * torch.arange(interleaves, dtype=torch.float64).reshape(-1, 1) / interleaves
    angle = start + 2 * math.pi * turns * along
    return (along / 2).unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], -1)


def _check(readouts: int, samples: int) -> None:
    if readouts < 1 or samples < 2:
        raise InputError(f"A trajectory of {readouts} readouts with {samples} samples is empty; give 1 and 2 or more.")
