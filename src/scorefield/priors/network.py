r"""Denoisers that consist of a network and a preconditioning.

.. math:: D(x, \sigma) = c_{skip}\,x + c_{out}\,F(c_{in}\,x,\ c_{noise})

with the four coefficients functions of sigma.  A preconditioning is an object; it also states a weight,
such as :math:`1/c_{out}^2`, with which the denoising errors of all levels count alike in training.

References:
    Karras, Aittala, Aila, Laine, "Elucidating the design space of diffusion-based generative models",
    NeurIPS 2022, arXiv 2206.00364.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.lessons.lesson import LEVELS, Lesson
from scorefield.lessons.windows import Windows
from scorefield.objectives.denoising import NoiseConditional
from scorefield.prior import Denoiser, level

if TYPE_CHECKING:
    from typing import Self


class Coefficients(NamedTuple):
    """``D = skip x + out F(inner x, noise)``; each shaped like sigma."""

    skip: Tensor
    out: Tensor
    inner: Tensor
    noise: Tensor


class Preconditioning(Protocol):
    """How a network becomes a denoiser, and how its errors are weighted in training."""

    def coefficients(self, sigma: Tensor) -> Coefficients: ...

    def weight(self, sigma: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class EDM:
    """Unit-variance inputs and targets at every level; weight ``1/c_out^2``.

    Args:
        sigma_data: standard deviation of the clean images' pixels.
    """

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if not self.sigma_data > 0:
            raise InputError(f"EDM needs sigma_data > 0, got {self.sigma_data:g}: the pixels' standard deviation.")

    def coefficients(self, sigma: Tensor) -> Coefficients:
        total = (sigma.square() + self.sigma_data**2).sqrt()
        # ln(sigma)/4 is the paper's; the floor keeps the limit sigma -> 0 finite (c_out is then 0 anyway)
        noise = sigma.clamp(min=1e-8).log() / 4
        return Coefficients((self.sigma_data / total).square(), sigma * self.sigma_data / total, 1 / total, noise)

    def weight(self, sigma: Tensor) -> Tensor:
        return (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()


@dataclass(frozen=True)
class Homogeneous:
    """``D = x + F(x, sigma)``: with a bias-free network, ``D(c x, c sigma) = c D(x, sigma)`` for c > 0.

    The prior then has no intensity scale of its own: it treats an image and its rescaled copy alike.

    Args:
        sigma_data: enters the training weight only, as in :class:`EDM`.
    """

    sigma_data: float = 0.25

    def __post_init__(self) -> None:
        if not self.sigma_data > 0:
            raise InputError(
                f"Homogeneous needs sigma_data > 0, got {self.sigma_data:g}: the pixels' standard deviation."
            )

    def coefficients(self, sigma: Tensor) -> Coefficients:
        one = torch.ones_like(sigma)
        return Coefficients(one, one, one, sigma)

    def weight(self, sigma: Tensor) -> Tensor:
        return (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()


@dataclass(frozen=True)
class Unitless:
    """``D = x + sigma F(x, ln(sigma)/4)``: the network predicts sigma times the score, whose size does not depend on
    sigma.

    References:
        Song & Ermon, NeurIPS 2020, arXiv 2006.09011 (NCSNv2, technique 3).
    """

    def coefficients(self, sigma: Tensor) -> Coefficients:
        one = torch.ones_like(sigma)
        return Coefficients(one, sigma, one, sigma.clamp(min=1e-8).log() / 4)

    def weight(self, sigma: Tensor) -> Tensor:
        return sigma.square().reciprocal()


class Network(Denoiser):
    """A learned denoiser of whole images.

    Args:
        net: called as ``net(x, noise)``, image to image.
        preconditioning: how the network becomes a denoiser.
        crop: side of the training crops in pixels.
    """

    def __init__(self, net: nn.Module, preconditioning: Preconditioning | None = None, *, crop: int = 64):
        super().__init__()
        self.net, self.preconditioning, self.crop = net, preconditioning or EDM(), crop

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        s = level(sigma, x)
        c = self.preconditioning.coefficients(s)
        return c.skip * x + c.out * self.net(c.inner * x, c.noise.reshape(-1))

    def weight(self, sigma: Tensor) -> Tensor:
        """Training weight of the squared denoising error at ``sigma``."""
        return self.preconditioning.weight(sigma)

    def lesson(self) -> Lesson[Self]:
        return Lesson(self, self, Windows(self.crop), NoiseConditional(LEVELS, self.weight))
