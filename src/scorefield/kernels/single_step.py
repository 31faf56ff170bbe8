r"""Single-step DPM-Solvers of order two along the probability-flow ODE.

In :math:`\lambda = -\ln\sigma`, with :math:`h = \ln(s/t)`, the ODE from s to t has the two exact solutions

.. math::
    x_t = x_s - \int_t^s \epsilon(x_\sigma, \sigma)\, d\sigma, \qquad
    x_t = \tfrac{t}{s} x_s + \int_0^h e^{\tau - h} D(x_\tau)\, d\tau, \qquad \epsilon = (x - D)/\sigma .

To first order they give the point at :math:`s_1 = s\,e^{-rh}`.  The answer of the network there, extrapolated to the
middle of the step in :math:`\lambda`, then serves for the whole step.  With r = 1/2 nothing is extrapolated:
:math:`s_1 = \sqrt{st}` is the middle.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.prior import Prior


@dataclass(frozen=True)
class SingleStep(Kernel[None]):
    """A step through one point between the levels: two denoiser evaluations, one for the last step to 0; order 2.

    Args:
        ratio: where the point is, as a fraction r of the step in ln(sigma); 1/2 is published.
    """

    ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise InputError(f"{type(self).__name__} needs 0 < ratio <= 1, got {self.ratio:g}.")

    @abstractmethod
    def _predict(self, x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
        """The quantity that is constant over a step: the denoised image, or the noise."""

    @abstractmethod
    def _jump(self, x: Tensor, prediction: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
        """The exact step for a constant prediction."""

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        x, denoised = state.x, prior.denoise(state.x, sigma)
        if not bool(target > 0):
            return state.at(denoised)
        first = self._predict(x, denoised, sigma)
        between = sigma * (target / sigma) ** self.ratio
        inner = self._jump(x, first, sigma, between)
        second = self._predict(inner, prior.denoise(inner, between), between)
        return state.at(self._jump(x, first + (second - first) / (2 * self.ratio), sigma, target))
