r"""Priors on the differences of neighboring pixels: total variation and its generalized-Gaussian relatives.

.. math::
    \log p(x) = -\beta \sum_{i \sim j} |x_i - x_j|^\alpha + \mathrm{const}, \qquad
    \nabla \log p(x) = -\alpha \beta \, D^T \left[ |D x|^{\alpha - 1} \, \mathrm{sgn}(D x) \right],

with D the differences of neighbors along every spatial axis (no wrap-around).  The law is improper, flat in
the mean of the image.  At alpha = 1 (total variation) a difference of zero has no derivative; its score is 0.

Noise has no closed form here: these are priors for maximization (their score at sigma = 0, their proximal
map), not for diffusion.

References:
    Rudin, Osher, Fatemi, Physica D 1992; Bouman & Sauer, IEEE TIP 1993 (generalized Gaussian field).
    Beck & Teboulle, "Fast gradient-based algorithms for constrained total variation", IEEE TIP 2009.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import inner
from scorefield.operators.differences import Differences
from scorefield.prior import Density, level


def differences(x: Tensor) -> Differences:
    """The operator D of images like ``x`` (B, C, *spatial), or of vectors (B, d)."""
    return Differences(tuple(x.shape[1:]))


class Neighbors(Density):
    """A prior on differences of neighbors, known at sigma = 0 only; images of any size, real or complex."""

    @abstractmethod
    def _energy(self, d: Tensor) -> Tensor:
        """``-log p`` of each difference, real."""

    @abstractmethod
    def _slope(self, d: Tensor) -> Tensor:
        """The energy's gradient, 0 where d is 0."""

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p(x)`` up to a constant: (B,); sigma must be 0."""
        _clean(sigma, x)
        return -self._energy(differences(x)(x)).flatten(1).sum(1)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        _clean(sigma, x)
        d = differences(x)
        return -d.H(self._slope(d(x)))


def _clean(sigma: Tensor | float, x: Tensor) -> None:
    if bool((level(sigma, x) > 0).any()):
        raise InputError(
            "A prior on neighbor differences has no closed form at sigma > 0; use its score at sigma = 0 or"
            " its proximal map, or train a prior."
        )


def _positive(value: float, name: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"The {name} is a positive finite number, got {value}.")
    return float(value)


class GeneralizedGaussian(Neighbors):
    """``log p(x) = -weight * sum |x_i - x_j|^exponent`` over neighbors.

    Args:
        weight: beta > 0, in the images' unit to the power ``-exponent``.
        exponent: alpha > 0; 2 is a Gaussian field, 1 total variation, below 1 the log-density is not concave.

    Raises:
        InputError: an argument is not positive and finite.
    """

    def __init__(self, weight: float, exponent: float):
        super().__init__()
        self.weight, self.exponent = _positive(weight, "weight"), _positive(exponent, "exponent")

    @property
    def extent(self) -> float:
        """The difference of neighbors that lowers the log-density by 1: the law has no other unit."""
        return self.weight ** (-1 / self.exponent)

    def _energy(self, d: Tensor) -> Tensor:
        size = torch.where(d == 0, 1, d.abs())  # the slope of a power below 1 is infinite at 0
        return torch.where(d == 0, 0, self.weight * size**self.exponent)

    def _slope(self, d: Tensor) -> Tensor:
        size = torch.where(d == 0, 1, d.abs())  # sgn(0) = 0 makes the tie 0 whatever its power
        return self.weight * self.exponent * size ** (self.exponent - 1) * d.sgn()


class TotalVariation(Neighbors):
    """Anisotropic total variation, ``log p(x) = -weight * sum |x_i - x_j|`` over neighbors.

    Args:
        weight: beta > 0, in inverse units of the images.

    Raises:
        InputError: the weight is not positive and finite.
    """

    def __init__(self, weight: float):
        super().__init__()
        self.weight = _positive(weight, "weight")

    @property
    def extent(self) -> float:
        """The difference of neighbors that lowers the log-density by 1: the law has no other unit."""
        return 1 / self.weight

    def _energy(self, d: Tensor) -> Tensor:
        return self.weight * d.abs()

    def _slope(self, d: Tensor) -> Tensor:
        return self.weight * d.sgn()

    def prox(self, x: Tensor, step: Tensor | float, *, tolerance: float = 1e-3, iterations: int = 2000) -> Tensor:
        r"""``argmin_u |u - x|^2 / 2 - step * log p(u)``: the mode given x at noise variance ``step``.

        Fast gradient projection on the dual.  The duality gap g bounds the error, :math:`|u - u^*|^2 \le 2 g`, and the
        iteration stops when that bound is ``tolerance * |x|``.

        Args:
            x: images (B, C, *spatial).
            step: (), or (B,), >= 0.
            tolerance: relative error of the result.
            iterations: at most so many; a RuntimeWarning says if they were not enough.
        """
        d = differences(x)
        rate = 1 / (4 * d.shape_out[0])  # |D|^2 <= 4 for each axis
        flow = torch.zeros_like(d(x))
        radius = per_image(self.weight * level(step, x), flow)
        ahead, t = flow, 1.0
        goal = tolerance**2 * inner(x, x)
        u = x
        for _ in range(iterations):
            new = _project(ahead + rate * d(x - d.H(ahead)), radius)
            u = x - d.H(new)
            if bool((2 * _gap(d(u), new, radius) <= goal).all()):
                break
            faster = (1 + math.sqrt(1 + 4 * t * t)) / 2
            ahead = new + (t - 1) / faster * (new - flow)
            flow, t = new, faster
        else:
            message = f"The proximal map stopped after {iterations} iterations, above its tolerance {tolerance:g}."
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return u


def _project(flow: Tensor, radius: Tensor) -> Tensor:
    """Each entry of ``flow`` brought into the disk of that radius."""
    size = flow.abs()
    return torch.where(size > radius, radius * flow.sgn(), flow)


def _gap(d: Tensor, flow: Tensor, radius: Tensor) -> Tensor:
    return (radius * d.abs()).flatten(1).sum(1) - inner(d, flow)
