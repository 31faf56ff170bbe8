r"""The log-likelihood of an image, by the probability-flow ODE.

In :math:`\lambda = \ln\sigma` the flow is :math:`dx/d\lambda = x - D(x, \sigma)`, and along it

.. math::
    \log p_{\sigma_0}(x_0) = \log p_{\sigma_1}(x_1) + \int_{\ln\sigma_0}^{\ln\sigma_1} \mathrm{tr}(I - J)\, d\lambda,
    \qquad J = \partial D/\partial x.

A :class:`~scorefield.densities.trace.Trace` says how the trace is computed; its probes are drawn once and serve the
whole trajectory.  The classical Runge-Kutta rule of four stages is applied to each interval of the grid, so the error
is of order four in the spacing; the published code lets scipy's RK45 choose the grid at tolerances of 1e-5.

References:
    Chen, Rubanova, Bettencourt, Duvenaud, NeurIPS 2018, arXiv 1806.07366 (the change of density);
    Grathwohl et al., ICLR 2019, arXiv 1810.01367 (random signs);
    Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, ICLR 2021, arXiv 2011.13456, appendix D.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.densities.trace import ExactTrace, Trace
from scorefield.errors import InputError
from scorefield.linalg.solve import inner
from scorefield.prior import Prior

Terminal = Callable[[Tensor, Tensor], Tensor]
Slope = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Transport(NamedTuple):
    """The end of a trajectory of the flow.

    Args:
        x: images at the largest level (B, ...).
        log_volume: the integral of ``tr(I - J)`` along the way, (B,).
    """

    x: Tensor
    log_volume: Tensor


def white(x: Tensor, sigma: Tensor) -> Tensor:
    """The log-density of noise alone, ``log N(x; 0, sigma^2 I)``: (B,).

    Args:
        x: images (B, ...), real or complex.
        sigma: noise level per real component, ().
    """
    components = x[0].numel() * (2 if x.is_complex() else 1)
    return -inner(x, x) / (2 * sigma**2) - components / 2 * math.log(2 * math.pi * float(sigma) ** 2)


def transport(
    prior: Prior, x: Tensor, sigmas: Tensor, trace: Trace | None = None, generator: torch.Generator | None = None
) -> Transport:
    """Follow the flow from images at the smallest level up to the largest.

    Args:
        prior: a prior or a posterior; fix the coin of a random one with ``prior.draw(generator)`` first.
        x: images (B, C, *spatial) at the last of ``sigmas``.
        sigmas: levels (L,), descending, the last positive: ``schedule.grid(steps)[:-1]``.
        trace: how the trace of the Jacobian is computed; by default
            :class:`~scorefield.densities.trace.ExactTrace`, and for images
            :class:`~scorefield.densities.trace.Hutchinson` is affordable.
        generator: draws the probes of ``trace``, once for the trajectory.

    Raises:
        InputError: levels that do not descend, or that reach 0.
    """
    levels = torch.as_tensor(sigmas, dtype=torch.float64).flip(0)
    if levels.ndim != 1 or len(levels) < 2 or not bool((levels.diff() > 0).all() & (levels[0] > 0)):
        raise InputError("A flow needs at least 2 descending levels, all positive, such as Karras().grid(32)[:-1].")
    trace = trace or ExactTrace()
    probes = trace.draw(x, generator)

    def slope(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """``x - D`` and ``tr(I - J)``."""
        denoised, vjp = prior.linearize(x, sigma)
        return x - denoised, trace.of(lambda v: v - vjp(v), x, *probes)

    state = Transport(x, x.real.new_zeros(len(x)))
    with torch.no_grad():
        for low, high in pairwise(levels.log()):
            state = _runge_kutta(slope, state, low, high - low)
    return state


def _runge_kutta(slope: Slope, begin: Transport, low: Tensor, h: Tensor) -> Transport:
    """From ``ln sigma = low`` to ``low + h`` by the classical rule: slopes at 0, 1/2, 1/2 and 1, weights 1, 2, 2, 1."""
    x, volume = begin
    end, growth = x, volume
    dx = torch.zeros_like(x)
    for where, weight in ((0.0, 1), (0.5, 2), (0.5, 2), (1.0, 1)):
        dx, divergence = slope(x + where * h * dx, torch.exp(low + where * h))
        end, growth = end + weight * h / 6 * dx, growth + weight * h / 6 * divergence
    return Transport(end, growth)


def log_likelihood(
    prior: Prior,
    x: Tensor,
    sigmas: Tensor,
    *,
    trace: Trace | None = None,
    generator: torch.Generator | None = None,
    terminal: Terminal = white,
) -> Tensor:
    """``log p_sigma(x)`` at the last and smallest of ``sigmas``, in nats: (B,).

    Args:
        prior: a prior or a posterior; fix the coin of a random one with ``prior.draw(generator)`` first.
        x: images (B, C, *spatial).
        sigmas: levels (L,), descending, the last positive: ``schedule.grid(steps)[:-1]``.
        trace: how the trace of the Jacobian is computed, as in :func:`transport`.
        generator: draws the probes of ``trace``, once for the trajectory.
        terminal: log-density at the first level.  The default, as published, is that of noise alone, which is off by
            about ``|E x0| / sigma`` nats; ``prior.log_prob`` is exact where there is one.

    Raises:
        InputError: levels that do not descend, or that reach 0.
    """
    end = transport(prior, x, sigmas, trace, generator)
    top = torch.as_tensor(sigmas, dtype=torch.float64)[0]
    return terminal(end.x, top) + end.log_volume


def bits_per_dimension(log_likelihood: Tensor, components: int, *, width: float = 1 / 256) -> Tensor:
    """``-log2 p / n`` of images quantized to bins of ``width``, after dequantization by uniform noise.

    Args:
        log_likelihood: of the dequantized images, in nats, (B,).
        components: n, the number of real components of an image.
        width: of a bin, in the units of the images: 1/256 for 8 bits on [0, 1], 2/256 on [-1, 1].
    """
    return -log_likelihood / (components * math.log(2)) - math.log2(width)
