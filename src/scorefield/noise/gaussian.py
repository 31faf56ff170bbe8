r"""Additive Gaussian noise: :math:`y = m + n`, :math:`n \sim N(0, R)`, R the covariance of each real component.

For complex data :math:`E\,n n^H = 2 R`, and the log-density of a residual r is, up to a constant,
:math:`-\tfrac12 \|R^{-1/2} r\|^2`, whether r is real or complex.  The root :math:`R^{1/2}` is the symmetric one, so
that whitening is its own adjoint.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import squared_norm
from scorefield.noise.base import Noise
from scorefield.randomness import normal_like


class Gaussian(Noise):
    """Noise with a covariance R that does not depend on the image; a subclass multiplies by its powers.

    Data and residuals are (B, *data), real or complex; what comes back has their shape and precision.
    """

    @property
    @abstractmethod
    def precision(self) -> Tensor:
        """The mean of the diagonal of ``R^-1``, ()."""

    @property
    def variance(self) -> Tensor | None:
        """Variance per real component, broadcastable to the data, of noise that is independent; None of any other."""
        return None

    @abstractmethod
    def whiten(self, residual: Tensor) -> Tensor:
        """``R^-1/2 residual``: residuals in units of their noise, uncorrelated."""

    @abstractmethod
    def color(self, white: Tensor) -> Tensor:
        """``R^1/2 white``, the inverse of :meth:`whiten`."""

    @abstractmethod
    def solve(self, residual: Tensor, shift: Tensor | float = 0.0) -> Tensor:
        """``(R + shift I)^-1 residual``; ``shift`` >= 0 is () or one for each image, (B,)."""

    @abstractmethod
    def log_det(self, like: Tensor) -> Tensor:
        """``log det R`` for data shaped like ``like`` (B, *data), each entry counted as one real number: ()."""

    def log_prob(self, residual: Tensor) -> Tensor:
        """Log-density of a residual, normalized, summed over the data: (B,)."""
        components = 2 if residual.is_complex() else 1
        constant = residual[0].numel() * math.log(2 * math.pi) + self.log_det(residual)
        return -(squared_norm(self.whiten(residual)) + components * constant) / 2

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One realization of the noise shaped like ``like`` (B, *data)."""
        return self.color(normal_like(like, generator))

    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor:
        return self.log_prob(y - mean)

    def score(self, y: Tensor, mean: Tensor) -> Tensor:
        return self.solve(y - mean)

    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return mean + self.sample(mean, generator)

    def linear_data(self, y: Tensor) -> tuple[Tensor, Gaussian]:
        """The data themselves and this law."""
        return y, self

    def standardize(self, y: Tensor, mean: Tensor) -> Tensor:
        return self.whiten(y - mean)


def gaussian(noise: Noise) -> Gaussian:
    """Return ``noise``, if it has the covariance that a method needs.

    Raises:
        InputError: the law is not Gaussian.
    """
    if not isinstance(noise, Gaussian):
        raise InputError(
            f"{type(noise).__name__} data have no fixed noise variance, which this method needs; give it"
            " measurement.linear_data, their approximation with Gaussian noise, or take a method that asks for the"
            " likelihood's score alone, such as kernels.SplitGibbs(measurement, likelihood=kernels.MarkovChain())."
        )
    return noise
