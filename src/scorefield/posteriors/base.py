r"""A posterior is a prior: its denoiser is :math:`E[x_0 \mid x, y]`.

Tweedie's formula for the conditional law gives :math:`E[x_0\mid x,y] = D + \sigma^2 \nabla_x \log p(y \mid x)`.  If
:math:`x_0 \mid x \approx N(D, V)` then :math:`p(y\mid x) = N(y; AD, R + AVA^H)`; without the dependence of V on x

.. math:: E[x_0 \mid x, y] \approx D + \sigma^2 J^T A^H (R + A V A^H)^{-1} (y - A D), \qquad J = \partial D/\partial x.

The published methods differ in V, and in the gain that replaces :math:`\sigma^2 J^T`.

A posterior can be conditioned again: with a symmetric J that is constant near x, its own Jacobian is
:math:`J - \sigma^2 J^T A^H (R + A V A^H)^{-1} A J`, so a second scan gives the posterior of both scans.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import per_image
from scorefield.measurement import Measurement, as_measurement
from scorefield.portable import Portable, move_with
from scorefield.prior import Denoiser, Prior, Vjp, as_prior

T = TypeVar("T", bound="Posterior")


class Posterior(Denoiser):
    """A prior given one measurement.

    Args:
        prior: the prior, or another posterior.
        measurement: data, operator and noise; or a scan.
    """

    def __init__(self, prior: Prior, measurement: Measurement):
        super().__init__()
        self.prior, self.measurement = as_prior(prior), as_measurement(measurement)
        self.event_shape = self.measurement.shape

    @property
    def extent(self) -> float:
        return self.amplitude or self.prior.extent

    def draw(self, generator: torch.Generator | None = None) -> Prior:
        drawn = self.prior.draw(generator)
        return self if drawn is self.prior else self.replace(prior=drawn)

    def given(self, prior: Prior) -> Posterior:
        """The name of version 0.1.

        Raises:
            InputError: always; :meth:`replace` takes its place.
        """
        del prior
        raise InputError(f"{type(self).__name__} has no method 'given' any more; write replace(prior=...).")

    def replace(self: T, *, prior: Prior | None = None, measurement: Measurement | None = None) -> T:
        """The same posterior, its options unchanged, of another prior or given another measurement.

        A shallow copy: nothing is computed again.  A class that derives something from its prior or its measurement
        overrides this method and derives it for the copy.

        Args:
            prior: takes the place of the prior; None leaves it.
            measurement: takes the place of the measurement; None leaves it.
        """
        other = copy.copy(self)
        for name in ("_parameters", "_buffers", "_modules"):  # a copied module shares them with its original
            vars(other)[name] = vars(self)[name].copy()
        if prior is not None:
            other.prior = prior
        if measurement is not None:
            other.measurement, other.event_shape = measurement, measurement.shape
        return other

    def _apply(self, fn: Callable, recurse: bool = True) -> Posterior:
        super()._apply(fn, recurse)
        like = self.measurement.y
        held = {name: part for name, part in vars(self).items() if isinstance(part, Portable)}
        vars(self).update({name: move_with(part, fn, like) for name, part in held.items()})
        return self


class Guided(Posterior):
    """A posterior whose gain is ``sigma^2 J^T``; a subclass solves for the innovation."""

    @abstractmethod
    def _pull(self, variance: Tensor, vjp: Vjp, residual: Tensor) -> Callable[[Tensor], Tensor]:
        """The map ``r -> J^T A^H (R + A V A^H)^-1 r`` from data to images.

        Args:
            variance: sigma^2, broadcastable to the image.
            vjp: ``v -> J^T v`` of the prior's denoiser.
            residual: ``y - A D``.
        """

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self._condition(x, sigma)[0]

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        return self._condition(x, sigma)

    def _condition(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        mean, vjp = self.prior.linearize(x, sigma)
        variance = per_image(sigma, x).square()
        given, residual = self.measurement.at(mean), self.measurement.residual(mean)
        near = self if given is self.measurement else self.replace(measurement=given)
        operator, innovation = given.operator, near._pull(variance, vjp, residual)

        def pull(v: Tensor) -> Tensor:
            w = vjp(v)
            return w - innovation(operator(variance * w))

        return mean + variance * innovation(residual), pull


class Correction(Posterior):
    """A posterior that moves the denoised image towards the data without asking for the prior's Jacobian."""

    @abstractmethod
    def correct(self, mean: Tensor, x: Tensor, sigma: Tensor | float) -> Tensor:
        """The denoised image given the data.

        Args:
            mean: the prior's denoised image ``D(x, sigma)``.
            x: the noisy image behind it.
            sigma: noise level of x, () or (B,).
        """

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.correct(self.prior.denoise(x, sigma), x, sigma)

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        mean, vjp = self.prior.linearize(x, sigma)
        with torch.enable_grad():
            leaves = mean.detach().requires_grad_(), x.detach().requires_grad_()
            corrected = self.correct(*leaves, sigma)

        def pull(v: Tensor) -> Tensor:
            through, direct = torch.autograd.grad(corrected, leaves, v, retain_graph=True, allow_unused=True)
            product = torch.zeros_like(x) if through is None else vjp(through)
            return product if direct is None else product + direct

        return corrected.detach(), pull
