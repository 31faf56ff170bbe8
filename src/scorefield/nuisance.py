r"""Nuisance parameters: unknown numbers of the scanner itself.

A scan :math:`y = F_\theta(x_0) + n` with few unknown numbers :math:`\theta` (a phase, the center of rotation, a scale,
a drift of the background) has a posterior :math:`p(x_0, \theta \mid y)` of both.  A :class:`Nuisance` is the prior of
:math:`\theta` and the rule :math:`\theta \mapsto F_\theta`; :class:`scorefield.kernels.Alternate` draws both together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.linear import Operator
from scorefield.operators.nonlinear import Linearization, Nonlinear
from scorefield.portable import Portable
from scorefield.prior import Density

Rule = Callable[[Tensor], Operator]


class Nuisance(Portable):
    """Parameters theta of a forward model: their prior, and the operator that belongs to their values.

    Args:
        prior: law of theta, vectors (k,), that can be drawn from and has a differentiable score, such as a
            :class:`scorefield.priors.Gaussian`.
        rule: gives the operator of theta (B, k), one row for each image of a batch; its data are differentiable in
            theta.
        name: the name of theta in ``samples.nuisance``.
    """

    def __init__(self, prior: Density, rule: Rule, name: str = "theta"):
        if prior.event_shape is None or len(prior.event_shape) != 1:
            raise InputError(f"Nuisance parameters are vectors (k,), got a prior of shape {prior.event_shape}.")
        self.prior, self.rule, self.name = prior, rule, name

    def draw(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Theta (B, k) from its prior for images ``like`` (B, ...), in their precision."""
        return self.prior.rsample(len(like), generator).to(like.device, like.real.dtype)

    def operator(self, theta: Tensor) -> Operator:
        """The operator of theta (B, k)."""
        return self.rule(theta)

    def score(self, theta: Tensor) -> Tensor:
        """Gradient of the log-prior at theta (B, k)."""
        return self.prior.score(theta, 0.0).to(theta)

    def precision(self, theta: Tensor) -> Tensor:
        """Curvature of the negative log-prior at theta: (B, k, k)."""
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            rows = self.prior.score(leaf, 0.0).sum(0)
            columns = [torch.autograd.grad(row, leaf, retain_graph=True)[0] for row in rows]
        return -torch.stack(columns, dim=-1)

    def sensitivity(self, image: Tensor, theta: Tensor) -> Linearization:
        """How the data of images (B, *shape) change with theta (B, k): a linear operator from theta to data."""
        return Linearization(_DataOfTheta(self, image, self.rule(theta).shape_out, theta.shape[1:]), theta)


class _DataOfTheta(Nonlinear):
    """The map from theta to the data of fixed images."""

    def __init__(self, nuisance: Nuisance, image: Tensor, shape_out: Sequence[int], shape_in: Sequence[int]):
        super().__init__(tuple(shape_in), tuple(shape_out))
        self.nuisance, self.image = nuisance, image.detach()

    def _apply(self, x: Tensor) -> Tensor:
        return self.nuisance.operator(x)(self.image)
