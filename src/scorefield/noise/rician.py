r"""Magnitude images: the length of a complex number with Gaussian noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise.base import Noise
from scorefield.noise.gaussian import Gaussian
from scorefield.noise.white import White
from scorefield.randomness import normal_like


class Rician(Noise):
    r""":math:`y = |m + n|` for complex noise n of level ``std`` per real component; m real, of any sign, or complex.

    .. math:: p(y \mid m) = \frac{y}{s^2} \exp\Big(-\frac{y^2 + |m|^2}{2 s^2}\Big) I_0\Big(\frac{y |m|}{s^2}\Big).

    At low signal the magnitude is biased upward; a Gaussian law would take this bias for intensity.

    Args:
        std: positive, in the units of the data.

    Raises:
        InputError: ``std`` is not a positive finite number.

    References:
        Gudbjartsson & Patz, "The Rician distribution of noisy MRI data", MRM 1995.
    """

    def __init__(self, std: float):
        std = float(std)
        if not (math.isfinite(std) and std > 0):
            raise InputError(f"Rician noise needs a positive finite std, got {std}; estimate it from the background.")
        self.std = std

    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor:
        _check(y)
        y, size = y / self.std, mean.abs() / self.std
        z = y * size
        terms = y.log() - math.log(self.std) - (y - size).square() / 2 + torch.log(torch.special.i0e(z))
        return terms.flatten(1).sum(1)

    def score(self, y: Tensor, mean: Tensor) -> Tensor:
        _check(y)
        z = y * mean.abs() / self.std**2
        ratio = torch.special.i1e(z) / torch.special.i0e(z)
        return (y * ratio * torch.sgn(mean) - mean) / self.std**2

    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        n = normal_like(mean.to(mean.dtype.to_complex()), generator)
        return (mean + self.std * n).abs()

    def linear_data(self, y: Tensor) -> tuple[Tensor, Gaussian]:
        r""":math:`\sqrt{\max(y^2 - s^2, 0)}`, for real noiseless values :math:`\ge 0`, with white noise of level s.

        References:
            Gudbjartsson & Patz, MRM 1995 (the corrected magnitude).
        """
        _check(y)
        return (y.square() - self.std**2).clamp(min=0).sqrt(), White(self.std)

    def standardize(self, y: Tensor, mean: Tensor) -> Tensor:
        """The square of the magnitude, whose mean and variance are simple, in units of its noise."""
        _check(y)
        power, variance = mean.abs().square(), self.std**2
        return (y.square() - power - 2 * variance) / (2 * self.std * (power + variance).sqrt())


def _check(y: Tensor) -> None:
    if y.is_complex() or bool((y <= 0).any()):
        raise InputError("Magnitudes are real and above 0; leave out entries that are exactly 0, and pass |y|.")
