r"""Likelihood by the probability-flow ODE.

In :math:`\lambda = \ln\sigma` the flow is :math:`dx/d\lambda = x - D(x, \sigma)`, and along it

.. math::
    \log p_{\sigma_0}(x_0) = \log p_{\sigma_1}(x_1) + \int_{\ln\sigma_0}^{\ln\sigma_1} (n - \mathrm{tr}\, J)\, d\lambda,
    \qquad J = \partial D/\partial x,

over n real components.  The trace is a sum of :math:`\langle e, J^T e\rangle` over the unit vectors, or the mean over
random signs e, whose covariance is the identity.  Four stages of Runge-Kutta serve an interval of the grid, an error of
order four in its spacing; the published code lets scipy's RK45 choose the grid at tolerances of 1e-5.

References:
    Chen, Rubanova, Bettencourt, Duvenaud, NeurIPS 2018, arXiv 1806.07366 (the change of density);
    Grathwohl et al., ICLR 2019, arXiv 1810.01367 (random signs);
    Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, ICLR 2021, arXiv 2011.13456, appendix D.2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.solve import inner
from scorefield.prior import Prior

Terminal = Callable[[Tensor, Tensor], Tensor]


class Divergence(ABC):
    """The directions along which a trace is taken."""

    @abstractmethod
    def probes(self, like: Tensor) -> list[Tensor]:
        """Directions e shaped like ``like``, one set for a trajectory: the sum of their e e^T has mean I."""


@dataclass(frozen=True)
class ExactDivergence(Divergence):
    """All unit vectors: as many vector-Jacobian products an evaluation as an image has real components."""

    def probes(self, like: Tensor) -> list[Tensor]:
        units = torch.eye(like[0].numel(), dtype=like.dtype, device=like.device).reshape(-1, 1, *like.shape[1:])
        units = torch.cat([units, 1j * units]) if like.is_complex() else units
        return [unit.expand_as(like) for unit in units]


@dataclass(frozen=True, eq=False)
class Hutchinson(Divergence):
    """Random signs: unbiased, one vector-Jacobian product an evaluation and direction.

    Args:
        generator: of the signs.
        directions: that are averaged; 1 is published.

    References:
        Hutchinson, Commun. Stat. Simul. Comput. 1989.
    """

    generator: torch.Generator
    directions: int = 1

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise InputError(f"Hutchinson needs directions >= 1, got {self.directions}.")

    def probes(self, like: Tensor) -> list[Tensor]:
        return [_signs(like, self.generator) / math.sqrt(self.directions) for _ in range(self.directions)]


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """Each real component 1 or -1."""
    if like.is_complex():
        return torch.view_as_complex(_signs(torch.view_as_real(like), generator))
    coins = torch.empty_like(like, memory_format=torch.contiguous_format).bernoulli_(generator=generator)
    return 2 * coins - 1


class Transport(NamedTuple):
    """Where the flow took images, and what it did to volumes."""

    x: Tensor  # at the largest level
    log_volume: Tensor  # (B,): the integral of n - tr J


def white(x: Tensor, sigma: Tensor) -> Tensor:
    """``log N(x; 0, sigma^2 I)``, the terminal density of the published code: (B,)."""
    components = x[0].numel() * (2 if x.is_complex() else 1)
    return -inner(x, x) / (2 * sigma**2) - components / 2 * math.log(2 * math.pi * float(sigma) ** 2)


def transport(prior: Prior, x: Tensor, sigmas: Tensor, divergence: Divergence) -> Transport:
    """Images ``x`` (B, ...) at the last of ``sigmas`` (L,), descending and positive, carried up to the first.

    Raises:
        InputError: levels that do not descend, or that reach 0.
    """
    levels = torch.as_tensor(sigmas, dtype=torch.float64).flip(0)
    if levels.ndim != 1 or len(levels) < 2 or not bool((levels.diff() > 0).all() & (levels[0] > 0)):
        raise InputError("A flow needs at least 2 descending levels, all positive, such as Karras().grid(32)[:-1].")
    carried, probes = Transport(x, x.real.new_zeros(len(x))), divergence.probes(x)
    with torch.no_grad():
        for low, high in pairwise(levels.log()):
            carried = _runge_kutta(prior, carried, low, high - low, probes)
    return carried


def _runge_kutta(prior: Prior, begin: Transport, low: Tensor, h: Tensor, probes: list[Tensor]) -> Transport:
    """From ``ln sigma = low`` to ``low + h`` by the classical rule: slopes at 0, 1/2, 1/2 and 1, weights 1, 2, 2, 1."""
    x, volume = begin
    end, growth = x, volume
    slope = torch.zeros_like(x)
    for where, weight in ((0.0, 1), (0.5, 2), (0.5, 2), (1.0, 1)):
        slope, divergence = _slope(prior, x + where * h * slope, torch.exp(low + where * h), probes)
        end, growth = end + weight * h / 6 * slope, growth + weight * h / 6 * divergence
    return Transport(end, growth)


def _slope(prior: Prior, x: Tensor, sigma: Tensor, probes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """``x - D`` and ``n - tr J``."""
    denoised, vjp = prior.linearize(x, sigma)
    divergence = x.real.new_zeros(len(x))
    for e in probes:
        divergence = divergence + inner(e, e - vjp(e))
    return x - denoised, divergence


def log_likelihood(
    prior: Prior,
    x: Tensor,
    sigmas: Tensor,
    *,
    divergence: Divergence | None = None,
    terminal: Terminal = white,
) -> Tensor:
    """``log p_sigma(x)`` at the last and smallest of ``sigmas``, in nats: (B,).

    Args:
        prior: a prior or a posterior; fix the coin of a random one with ``prior.draw(generator)`` first.
        x: images (B, C, *spatial).
        sigmas: levels (L,), descending, the last positive: ``schedule.grid(steps)[:-1]``.
        divergence: :class:`ExactDivergence` by default, :class:`Hutchinson` for images.
        terminal: log-density at the first level.  The default, as published, is that of noise alone, which is off by
            about ``|E x0| / sigma`` nats; ``prior.log_prob`` is exact where there is one.

    Raises:
        InputError: levels that do not descend, or that reach 0.
    """
    carried = transport(prior, x, sigmas, divergence or ExactDivergence())
    top = torch.as_tensor(sigmas, dtype=torch.float64)[0]
    return terminal(carried.x, top) + carried.log_volume


def bits_per_dimension(log_likelihood: Tensor, components: int, *, width: float = 1 / 256) -> Tensor:
    """``-log2 p / n`` of images quantized to bins of ``width``, after dequantization by uniform noise.

    Args:
        log_likelihood: of the dequantized images, in nats.
        components: n, real numbers in an image.
        width: of a bin in the units of the images: 1/256 for 8 bits on [0, 1], 2/256 on [-1, 1].
    """
    return -log_likelihood / (components * math.log(2)) - math.log2(width)
