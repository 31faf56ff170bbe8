r"""Image and nuisance parameters, drawn in turn on one walk.

Let (x, theta) have the joint law :math:`p_\sigma(x, \theta \mid y)` of noisy images and parameters.  A new draw of
theta from :math:`p(\theta \mid x, y)` leaves this law unchanged.  A step of x under the posterior given theta leads to
the law of the next level, because the law of theta itself is the same at every level.  At the first level x contains no
information, so theta is drawn from :math:`p(\theta \mid y)`.  There x began under another operator, so it is moved by
the difference of the two denoised images.  At the last levels the two steps are a Gibbs sampler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Info, Kernel, M, State
from scorefield.kernels.update import Update
from scorefield.posteriors.base import Posterior
from scorefield.prior import Prior

Memory = tuple["Tensor | None", State[M]]


@dataclass(frozen=True)
class Alternate(Kernel[Memory[M]], Generic[M]):
    """At each level first theta, then the image: ``update``, and ``kernel`` under the posterior given the new theta.

    Walk it with a posterior.  Its data and noise stay, and each draw has the operator of its own theta; the operator of
    the posterior itself serves only for the start.  The draws come with ``samples.nuisance``.  Take a kernel that
    remembers no images of other levels, such as Heun or Ancestral: such images belong to another theta.

    Args:
        kernel: moves the images.
        update: moves theta.

    Raises:
        InputError: at the first step, where the prior is not a posterior.
    """

    kernel: Kernel[M]
    update: Update

    def start(self, x: Tensor) -> State[Memory[M]]:
        return State(x, (None, self.kernel.start(x)))

    def step(
        self, prior: Prior, state: State[Memory[M]], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[Memory[M]]:
        nuisance, (last, inner), x = self.update.nuisance, state.memory, state.x
        theta = nuisance.draw(x, generator) if last is None else last
        theta = self.update(self._given(prior, theta), theta, x, sigma, generator)
        posterior = self._given(prior, theta)
        if last is None:  # the walk began under the operator of the posterior itself
            x = x + posterior.denoise(x, sigma) - prior.denoise(x, sigma)
        inner = self.kernel.step(posterior, inner.at(x), sigma, target, generator)
        return State(inner.x, (theta, inner), inner.info + Info(nuisance={nuisance.name: theta}))

    def _given(self, prior: Prior, theta: Tensor) -> Posterior:
        if not isinstance(prior, Posterior):
            raise InputError(
                f"Alternate conditions a posterior on each theta, got {type(prior).__name__}; walk it with"
                " posteriors.MMPS(prior, measurement) or another posterior."
            )
        given = prior.measurement.replace(operator=self.update.nuisance.operator(theta))
        return prior.replace(measurement=given)
