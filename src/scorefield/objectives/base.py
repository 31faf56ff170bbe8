r"""The base class of objectives: random draws, one term for each image, and the mean of the terms over the batch.

.. math:: L(p) = \frac1B \sum_b \ell(p; x_b, \omega_b)

with :math:`\omega_b` everything random for image b.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Prior, Vjp
from scorefield.randomness import normal_like
from scorefield.schedules import Schedule


class Objective(ABC):
    """A function of a prior and clean images whose expectation is smallest at the true prior.

    Drawing and evaluating are apart, so that one set of draws can serve several evaluations (a deterministic optimizer)
    or be cut into parts (memory, several processes): term b depends on row b of the draws only.
    """

    @abstractmethod
    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """The data and everything random for the clean batch ``x``; every tensor is (B, ...).

        Args:
            x: clean images (B, C, *spatial), or vectors (B, d); real or complex.
            generator: source of the random numbers; by default the global one of torch.
        """

    @abstractmethod
    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        """One term for each image, deterministic given the draws, with a graph to the prior's parameters: (B,)."""

    def over(self, noise: Schedule) -> Objective:
        """The same objective with sigma from another law.

        Args:
            noise: law of sigma, drawn for each image.

        Raises:
            InputError: an objective of one level.
        """
        del noise
        raise InputError(f"{type(self).__name__} is of one noise level; use objectives.NoiseConditional for many.")

    def __call__(self, prior: Prior, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The Monte-Carlo estimate of the objective on the clean batch ``x`` (B, ...): a scalar with a graph."""
        return self.terms(prior, *self.draw(x, generator)).mean()


def check_level(sigma: float) -> None:
    """Check that a noise level is finite and not negative.

    Raises:
        InputError: it is negative or not finite.
    """
    if not 0 <= sigma < math.inf:
        raise InputError(f"An objective needs a finite noise level sigma >= 0, got {sigma:g}.")


def batch(x: Tensor) -> Tensor:
    """``x`` itself, after a check of its shape and dtype.

    Raises:
        InputError: ``x`` is no batch of images or vectors, or has integers.
    """
    if x.ndim < 2 or x.numel() == 0:
        raise InputError(f"An objective needs images (B, C, *spatial) or vectors (B, d), got shape {tuple(x.shape)}.")
    if not (x.is_floating_point() or x.is_complex()):
        raise InputError(f"An objective needs floating or complex images, got {x.dtype}; convert them first.")
    return x


def perturbed(x: Tensor, sigma: float, generator: torch.Generator | None) -> Tensor:
    """``x + sigma n``; at sigma = 0 the clean batch itself, without a random draw."""
    batch(x)
    return x + sigma * normal_like(x, generator) if sigma else x


def leaf(x: Tensor) -> Tensor:
    """``x`` with ``requires_grad``.

    A score that is itself a gradient (:class:`scorefield.prior.Density`) keeps its graph only if its argument requires
    a gradient.
    """
    return x if x.requires_grad else x.detach().requires_grad_()


def like(result: Tensor, x: Tensor, what: str) -> Tensor:
    """``result`` itself, after a check that it is shaped like ``x``; another shape would be broadcast silently.

    Raises:
        InputError: the shapes differ.
    """
    if result.shape != x.shape:
        raise InputError(f"The prior's {what} must be shaped like x, {tuple(x.shape)}, but is {tuple(result.shape)}.")
    return result


def score_of(prior: Prior, x: Tensor, sigma: float) -> Tensor:
    """The score at ``x``, with a graph to the prior's parameters."""
    return like(prior.score(leaf(x), sigma), x, "score")


def linearized(prior: Prior, x: Tensor, sigma: float) -> tuple[Tensor, Vjp]:
    """The score ``s`` at ``x`` and ``v -> (ds/dx)^T v``, both with a graph to the prior's parameters.

    The prior must treat the images of the batch independently: a network must not normalize over the batch.

    Raises:
        InputError: the score has no graph to x.
    """
    outer = torch.is_grad_enabled()
    with torch.enable_grad():
        at = leaf(x)
        score = like(prior.score(at, sigma), x, "score")
    if not score.requires_grad:
        raise InputError(f"{type(prior).__name__}.score cannot be differentiated; compute it from x without detaching.")

    def vjp(v: Tensor) -> Tensor:
        # zeros where the score does not depend on x; a derivative that is itself differentiated keeps its graph
        return torch.autograd.grad(score, at, v, retain_graph=True, create_graph=outer, materialize_grads=True)[0]

    return (score if outer else score.detach()), vjp
