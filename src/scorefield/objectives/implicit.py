r"""Implicit score matching: the Fisher divergence without the target's score.

With q the law of the data at level sigma and s the model's score, integration by parts of the cross term,

.. math::
    E_q \langle s, \nabla \log q \rangle = \int \langle s, \nabla q \rangle = -E_q\, tr \frac{\partial s}{\partial x},

turns :math:`\tfrac12 E_q \|s - \nabla \log q\|^2` into
:math:`E_q [ tr\,\partial s/\partial x + \tfrac12 \|s\|^2 ]` plus a constant of the data.  The boundary term must
vanish: q s must tend to 0 at the edge of the support (for a Gamma law of shape k this needs k > 1).

For few data the minimizer over-fits, because a narrow peak at every data point makes the trace very negative.
:class:`Regularized` penalizes such peaks.  To second order in sigma, noise :math:`\sigma n` adds
:math:`\tfrac12 \sigma^2 \sum_{ij} (\partial_j s_i)^2` and terms with second derivatives of s to the objective.  The
diagonal of this sum is the regularizer of strength sigma^2/2; for a linear score in one dimension the two are equal.

References:
    Hyvarinen, "Estimation of non-normalized statistical models by score matching", JMLR 2005;
    Kingma & LeCun, "Regularized estimation of image statistics by score matching", NIPS 2010.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.densities.trace import ExactTrace, Trace, jacobian_diagonal
from scorefield.errors import InputError
from scorefield.linalg.parts import squared_norm
from scorefield.objectives.base import Objective, check_level, linearized, perturbed
from scorefield.prior import Prior


@dataclass(frozen=True)
class Implicit(Objective):
    r""":math:`tr\,\partial s/\partial x + \tfrac12 \|s\|^2` at :math:`x = x_0 + \sigma n`.

    ``Implicit(trace=Hutchinson())`` is sliced score matching with reduced variance (SSM-VR): the trace is estimated in
    one random direction, the square is exact.  The gradient needs second derivatives of the network, so its
    activations must be smooth (no ReLU).

    Args:
        sigma: noise level; 0 for clean images, where a denoiser has no score.
        trace: exact, by N backward passes for an image of N components, or :class:`Hutchinson`, by one.

    Raises:
        InputError: a negative or non-finite sigma, or a score without a graph to x.

    References:
        Hyvarinen, JMLR 2005; Song, Garg, Shi, Ermon, UAI 2019, arXiv 1905.07088 (SSM-VR).
    """

    sigma: float = 0.0
    trace: Trace = field(default_factory=ExactTrace)

    def __post_init__(self) -> None:
        check_level(self.sigma)

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        noisy = perturbed(x, self.sigma, generator)
        return (noisy, *self.trace.draw(noisy, generator))

    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        x, *probes = drawn
        score, vjp = linearized(prior, x, self.sigma)
        return self.trace.of(vjp, x, *probes) + 0.5 * squared_norm(score)


@dataclass(frozen=True)
class Regularized(Objective):
    r"""Implicit score matching plus a penalty on curvature: :math:`\lambda \sum_i (\partial s_i / \partial x_i)^2`.

    The diagonal is exact, by N backward passes for an image of N real components.

    Args:
        strength: lambda >= 0; :math:`\tau^2/2` has about the effect of noise of level tau.
        sigma: level of the noise that is added to the images; 0 for clean images.

    Raises:
        InputError: a negative or non-finite strength or sigma, or a score without a graph to x.

    References:
        Kingma & LeCun, NIPS 2010, whose approximate backward pass for the diagonal is not used here.
    """

    strength: float
    sigma: float = 0.0

    def __post_init__(self) -> None:
        check_level(self.sigma)
        if not 0 <= self.strength < math.inf:
            raise InputError(f"Regularized needs a finite strength >= 0, got {self.strength:g}.")

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        return (perturbed(x, self.sigma, generator),)

    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        (x,) = drawn
        score, vjp = linearized(prior, x, self.sigma)
        slopes = jacobian_diagonal(vjp, x)
        return slopes.sum(1) + 0.5 * squared_norm(score) + self.strength * slopes.square().sum(1)
