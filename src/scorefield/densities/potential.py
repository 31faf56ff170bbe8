r"""Densities from scores: the fundamental theorem of calculus, on a line and along a segment.

A score is the gradient of a log-density, so differences of the log-density are its line integrals,

.. math::
    \log p(b) - \log p(a) = \int_0^1 \langle s(a + u(b - a)),\, b - a \rangle \, du,

and the constant follows from :math:`\int p = 1`.  On a line the integral is a cumulative sum.  In more dimensions it
depends on the path unless the field is free of curl, and a learned score is only nearly free of curl.  Here the path is
the segment.

References:
    Remy et al., "Probabilistic mass mapping with neural score estimation", A&A 2023, arXiv 2201.05561 (the segment).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.solve import inner
from scorefield.prior import Prior, level


def log_density(prior: Prior, points: Tensor, sigma: float = 0.0) -> Tensor:
    """Log-density of a prior over one real number, computed from its score: (N,).

    The method is the cumulative trapezoidal rule, normalized by the trapezoidal mass of the density; the error is of
    order two in the spacing.  The density outside of the points is taken as 0.

    Args:
        prior: over real events of one element, such as shape (1,).
        points: (N,), increasing, with N >= 2; they must cover all of the mass.
        sigma: noise level.

    Raises:
        InputError: points that do not increase, or a score that is not finite at one of them.
    """
    if points.ndim != 1 or len(points) < 2 or not bool((points.diff() > 0).all()):
        raise InputError(f"The points are an increasing tensor (N,) with N >= 2, got shape {tuple(points.shape)}.")
    score = prior.score(points.reshape(-1, *(prior.event_shape or (1,))), sigma).flatten()
    if not bool(score.isfinite().all()):
        where = points[~score.isfinite()][0].item()
        raise InputError(f"The score is not finite at {where:g}; leave out points where the density is 0.")
    rise = torch.cumulative_trapezoid(score, points)
    log_p = torch.cat([rise.new_zeros(1), rise])
    log_p = log_p - log_p.max()  # before the exponential, which could overflow
    return log_p - torch.trapezoid(log_p.exp(), points).log()


class Rise(NamedTuple):
    """A line integral of a score.

    Args:
        value: ``log p_sigma(end) - log p_sigma(start)`` (B,), if the score is a gradient.
        error: estimate of the error of the rule (B,), not negative.
    """

    value: Tensor
    error: Tensor


def log_ratio(prior: Prior, start: Tensor, end: Tensor, sigma: Tensor | float, intervals: int = 4) -> Tensor:
    """``log p_sigma(end) - log p_sigma(start)``, computed from the score: (B,).

    The value of :func:`rise`, which has the arguments and the rule.

    Raises:
        InputError: an odd number of intervals, or end points of different shapes.
    """
    return rise(prior, start, end, sigma, intervals).value


def rise(prior: Prior, start: Tensor, end: Tensor, sigma: Tensor | float, intervals: int = 4) -> Rise:
    r"""``log p_sigma(end) - log p_sigma(start)``, computed from the score, and the error of the rule.

    Simpson's rule for :math:`\int_0^1 \mathrm{Re}\langle s(a + u(b - a), \sigma), b - a \rangle du` on the segment
    needs ``intervals + 1`` evaluations of the score.  The result depends on the path if the score is not a gradient.
    For any field it changes its sign if the end points are exchanged, up to rounding.

    The error is the difference to a second rule on the same points.  Where the number of intervals is a multiple of 4
    this is Simpson's on every second point, and 1/15 of the difference (Richardson), which is the error itself in the
    limit of many intervals.  Else the second rule is the trapezoidal one, and the difference only says that of it.  The
    error is that of the rule only: a field that is not a gradient has no log-density, whatever the rule.

    Args:
        prior: over real or complex events.
        start: first end points (B, *event).
        end: last end points (B, *event).
        sigma: noise level, () or (B,).
        intervals: number of intervals of the rule, even; 4 as in the Metropolis sampler of the reference.

    Raises:
        InputError: an odd number of intervals, or end points of different shapes.

    References:
        Remy et al., "Probabilistic mass mapping with neural score estimation", A&A 2023, arXiv 2201.05561.
    """
    if intervals < 2 or intervals % 2:
        raise InputError(f"Simpson's rule needs an even number of intervals >= 2, got {intervals}.")
    if start.shape != end.shape:
        raise InputError(f"A segment joins images of one shape, got {tuple(start.shape)} and {tuple(end.shape)}.")
    sigma = level(sigma, start).flatten()
    step = end - start
    slopes = []
    for i in range(intervals + 1):
        u = i / intervals
        node = (1 - u) * start + u * end  # equal to the end points, to the bit, at both ends
        slopes.append(inner(prior.score(node, sigma if len(sigma) > 1 else sigma[0]), step))
    value = _simpson(slopes)
    if intervals % 4:
        return Rise(value, (value - _trapezoid(slopes)).abs())
    return Rise(value, (value - _simpson(slopes[::2])).abs() / 15)


def _simpson(values: list[Tensor]) -> Tensor:
    """Of values at 0, ..., 1."""
    intervals, total = len(values) - 1, torch.zeros_like(values[0])
    for i, value in enumerate(values):
        total = total + (1 if i in (0, intervals) else 2 + 2 * (i % 2)) * value
    return total / (3 * intervals)


def _trapezoid(values: list[Tensor]) -> Tensor:
    """Of values at 0, ..., 1."""
    return (sum(values[1:-1], start=torch.zeros_like(values[0])) + (values[0] + values[-1]) / 2) / (len(values) - 1)
