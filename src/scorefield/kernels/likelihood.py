r"""Draws of an image given the data and a guess with Gaussian error.

Methods that alternate between prior and data need, at some level :math:`\rho`, draws from

.. math:: p(x \mid c, y) \propto \exp(-\|x - c\|^2 / 2\rho^2)\; p(y \mid x).

For :math:`y = A x + n`, :math:`n \sim N(0, R)` this law is Gaussian.  An exact draw is the mean after the guess and the
data have been perturbed by their own noise:

.. math:: x = u + \rho^2 A^H (R + \rho^2 A A^H)^{-1} (y - n' - A u), \qquad u = c + \rho z, \quad n' \sim N(0, R).

A Markov chain draws for any other likelihood whose score is known.

References:
    Papandreou & Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010 (perturb and MAP).
    Lee, Shen, Tian, "Structured logconcave sampling with a restricted Gaussian oracle", COLT 2021 (the law above).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.kernels.descent import arrive
from scorefield.kernels.langevin import Langevin
from scorefield.linalg.covariance import Isotropic
from scorefield.linalg.parts import norm, per_image
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.portable import Portable
from scorefield.prior import Density
from scorefield.randomness import common_normal_like, normal_like

POWER_STEPS = 10  # of power iteration: a few per cent of the largest curvature


class LikelihoodStep(Portable, ABC):
    """A way to draw from ``exp(-|x - center|^2 / 2 rho^2) p(y | x)``."""

    def at(self, level: Tensor) -> LikelihoodStep:
        """The way at a noise level (0-d), in units of ``prior.extent``; the same at all of them, unless overridden."""
        del level
        return self

    @abstractmethod
    def draw(self, measurement: Measurement, center: Tensor, rho: Tensor, generator: torch.Generator) -> Tensor:
        """One image for each of ``center`` (B, C, *spatial); ``rho`` (0-d) is positive."""


@dataclass(frozen=True)
class PerturbAndMap(LikelihoodStep):
    """An exact draw for Gaussian noise, by one linear solve.

    References:
        Papandreou & Yuille, NeurIPS 2010.
    """

    def draw(self, measurement: Measurement, center: Tensor, rho: Tensor, generator: torch.Generator) -> Tensor:
        u = center + rho * normal_like(center, generator)
        noise, residual = measurement.gaussian, measurement.residual(u)
        residual = residual - noise.sample(residual, generator)
        operator, spread = measurement.operator, Isotropic(rho**2)
        return u + spread(operator.innovation(noise, spread, residual))


@dataclass(frozen=True)
class MarkovChain(LikelihoodStep):
    """``steps`` steps of a kernel, beginning at the center, for any noise whose score is known.

    The chain is walked at the level s = (1/rho^2 + L)^-1/2, the smallest standard deviation of the law, L being the
    largest curvature of -log p(y | x) near the center.  A step of ``rate`` s^2 is then stable for a rate below 2.

    Args:
        kernel: one that stays at its level, with a step in units of the level.
        steps: 100 in DAPS (Zhang et al., CVPR 2025), whose steps fall with the level (:class:`DecayingChain`).

    Raises:
        InputError: fewer than one step.
    """

    kernel: Kernel[Any] = field(default=Langevin(rate=0.1))
    steps: int = 100

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"A Markov chain needs at least 1 step, got {self.steps}.")

    def draw(self, measurement: Measurement, center: Tensor, rho: Tensor, generator: torch.Generator) -> Tensor:
        law = Tethered(measurement, center, rho)
        scale = (rho**-2 + curvature(measurement, center, rho, generator)).rsqrt()
        return arrive(law, self.kernel, center, scale.expand(self.steps + 1), generator)


class Tethered(Density):
    """The law ``exp(-|x - center|^2 / 2 rho^2) p(y | x)`` of clean images; the level is not used.

    Args:
        measurement: the data.
        center: one guess for each image of a batch, or one for all.
        rho: standard deviation of the image around it, per real component.
    """

    def __init__(self, measurement: Measurement, center: Tensor, rho: Tensor | float):
        super().__init__()
        self.measurement, self.center, self.rho = measurement, center, rho
        self.event_shape = measurement.shape

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        del sigma
        gap = x - self.center
        return self.measurement.log_likelihood(x) - inner(gap, gap) / (2 * self.rho**2)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        del sigma
        return self.measurement.score(x) + (self.center - x) / self.rho**2


def curvature(measurement: Measurement, x: Tensor, rho: Tensor, generator: torch.Generator) -> Tensor:
    """Largest curvature of -log p(y | x) at ``x`` and at a point ``rho`` from it, over the batch: ()."""
    curvatures = [_curvature_at(measurement, at, generator) for at in (x, x + rho * normal_like(x, generator))]
    largest = torch.stack(curvatures).max()
    if not bool(largest.isfinite()):
        raise InputError(
            f"The curvature of the {type(measurement.noise).__name__} likelihood is not finite; the guess is too far"
            " from any image that explains the data."
        )
    return largest.to(rho)


def _curvature_at(measurement: Measurement, x: Tensor, generator: torch.Generator) -> Tensor:
    """Largest eigenvalue of ``A^H c A`` by power iteration, c >= 0 the curvature of each datum in what predicts it."""
    operator, noise, y = measurement.operator.at(x), measurement.noise, measurement.y
    with torch.enable_grad():
        mean = measurement.operator(x.detach()).requires_grad_()
        score = noise.score(y, mean)

    def curve(v: Tensor) -> Tensor:
        image = operator(v)
        (slope,) = torch.autograd.grad(score, mean, image, retain_graph=True, materialize_grads=True)
        # a negative curvature of -log p (a magnitude near 0) does not limit the step
        return operator.H(torch.where((slope.conj() * image).real < 0, -slope, 0))

    # one beginning for all images and batches: where the model is linear, their curvature is the same
    v = common_normal_like(x, generator)
    size = norm(v)
    for _ in range(POWER_STEPS):
        v = curve(v / per_image(torch.where(size > 0, size, 1), v))
        size = norm(v)
    return size.max()
