r"""Variance-preserving networks as priors.

With :math:`a = 1/\sqrt{1 + \sigma^2}` and :math:`s = \sigma a`, so that :math:`a^2 + s^2 = 1`, the image
:math:`a x = a x_0 + s n` is the training input of such a network at the time of sigma.  Its prediction there gives
:math:`x_0`:

- the noise, :math:`\epsilon = n`: :math:`x_0 = (a x - s\,\epsilon)/a = x - \sigma\,\epsilon`;
- the image itself;
- the velocity, :math:`v = a\,n - s\,x_0`: :math:`x_0 = a\,(a x) - s\,v`.

References:
    Ho, Jain, Abbeel, NeurIPS 2020, arXiv 2006.11239 (noise); Salimans & Ho, ICLR 2022, arXiv 2202.00512 (velocity).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from scorefield.prior import Denoiser, level
from scorefield.priors.timesteps import LinearBetas, Timesteps


class Prediction(Protocol):
    """The quantity that a network predicts."""

    def clean(self, noisy: Tensor, output: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """``x0`` from ``noisy = a x0 + s n`` and the output of the network."""
        ...


@dataclass(frozen=True)
class NoisePrediction:
    """``n``, DDPM's."""

    def clean(self, noisy: Tensor, output: Tensor, a: Tensor, s: Tensor) -> Tensor:
        return (noisy - s * output) / a


@dataclass(frozen=True)
class ImagePrediction:
    """``x0`` itself."""

    def clean(self, noisy: Tensor, output: Tensor, a: Tensor, s: Tensor) -> Tensor:
        return output


@dataclass(frozen=True)
class VelocityPrediction:
    """``v = a n - s x0``."""

    def clean(self, noisy: Tensor, output: Tensor, a: Tensor, s: Tensor) -> Tensor:
        return a * noisy - s * output


class VP(Denoiser):
    """A variance-preserving network as a denoiser at noise levels sigma.

    ``net(a x, t)`` is called with images (B, C, *spatial) and times (B,): continuous ones, between the steps of
    discrete clocks too.  Levels beyond the clock's ends are scaled by their own a and s but called at the end's time.
    Nothing is clipped.  ``sample(prior, kernels.FixedLarge(), timesteps.grid(1000), ...)`` is DDPM's own sampler.

    Args:
        net: called as ``net(x, t)``, image to image.
        timesteps: its clock, which is also the schedule to sample it on.
        prediction: what it predicts.
    """

    def __init__(self, net: nn.Module, timesteps: Timesteps | None = None, prediction: Prediction | None = None):
        super().__init__()
        self.net, self.timesteps = net, timesteps or LinearBetas()
        self.prediction = prediction or NoisePrediction()

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        sigma = level(sigma, x)
        a = (1 + sigma.square()).rsqrt()
        time = self.timesteps.time(sigma.flatten()).to(sigma.dtype).expand(len(x))
        return self.prediction.clean(a * x, self.net(a * x, time), a, sigma * a)
