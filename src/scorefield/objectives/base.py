"""What an objective is: its draws, its term for each image, its mean over the batch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Prior, Vjp
from scorefield.randomness import normal_like


class Objective(ABC):
    r"""A function of a prior and clean images, smallest in expectation at the truth.

    .. math:: L(p) = \frac1B \sum_b \ell(p; x_b, \omega_b)

    with :math:`\omega` everything random.  Drawing and evaluating are apart, so that one set of draws can serve several
    evaluations (a deterministic optimizer) or be cut into shards (several processes): term b depends on row b only.
    """

    @abstractmethod
    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """Everything random for the clean batch ``x``, and the data themselves; every tensor is (B, ...).

        Args:
            x: clean images (B, C, *spatial), or vectors (B, d); real or complex.
        """

    @abstractmethod
    def terms(self, prior: Prior, *drawn: Tensor) -> Tensor:
        """One term an image, deterministic given the draws, with a graph to the prior's parameters: (B,)."""

    def __call__(self, prior: Prior, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Monte-Carlo estimate on the clean batch x (B, ...): a scalar with a graph."""
        return self.terms(prior, *self.draw(x, generator)).mean()


def check_level(sigma: float) -> None:
    """Refuse a noise level that is negative or not finite.

    Raises:
        InputError: it is.
    """
    if not 0 <= sigma < math.inf:
        raise InputError(f"An objective needs a finite noise level sigma >= 0, got {sigma:g}.")


def batch(x: Tensor) -> Tensor:
    """``x`` as it is, after a look at its shape.

    Raises:
        InputError: no batch of images or vectors, or integers.
    """
    if x.ndim < 2 or x.numel() == 0:
        raise InputError(f"An objective needs images (B, C, *spatial) or vectors (B, d), got shape {tuple(x.shape)}.")
    if not (x.is_floating_point() or x.is_complex()):
        raise InputError(f"An objective needs floating or complex images, got {x.dtype}; convert them first.")
    return x


def perturbed(x: Tensor, sigma: float, generator: torch.Generator | None) -> Tensor:
    """``x + sigma n``; the clean batch itself, and nothing drawn, at sigma = 0."""
    batch(x)
    return x + sigma * normal_like(x, generator) if sigma else x


def leaf(x: Tensor) -> Tensor:
    """``x`` as something to differentiate at.

    A score that is itself a gradient (:class:`scorefield.prior.Density`) keeps its graph only if its argument has one.
    """
    return x if x.requires_grad else x.detach().requires_grad_()


def like(found: Tensor, x: Tensor, what: str) -> Tensor:
    """What a prior returned for ``x``, which has x's shape.

    Raises:
        InputError: it has not, and would be broadcast.
    """
    if found.shape != x.shape:
        raise InputError(f"The prior's {what} must be shaped like x, {tuple(x.shape)}, but is {tuple(found.shape)}.")
    return found


def score_of(prior: Prior, x: Tensor, sigma: float) -> Tensor:
    """The score at ``x``, with a graph to the prior's parameters."""
    return like(prior.score(leaf(x), sigma), x, "score")


def linearized(prior: Prior, x: Tensor, sigma: float) -> tuple[Tensor, Vjp]:
    """The score ``s`` at ``x`` and ``v -> (ds/dx)^T v``, both with a graph to the prior's parameters.

    The rows of the batch must be independent in the prior: a network without batch normalization in training mode.

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
