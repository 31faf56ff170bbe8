r"""The errors of the mean and the covariance of draws.

For n independent draws of a law with mean m and covariance C, of any shape,

.. math::
    E\|\hat m - m\|^2 = \frac{\mathrm{tr}\, C}{n}, \qquad
    E\|\hat C - C\|_F^2 = \frac{(\mathrm{tr}\, C)^2 + \mathrm{tr}\, C^2}{n - 1},

the second for Gaussians.  A perfect sampler has these errors too (:func:`expected_moment_error`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.calibration.wasserstein import gaussian_w2
from scorefield.errors import InputError


class MomentError(NamedTuple):
    """The errors of the first two moments of draws.

    Args:
        mean: length of the error of the mean over ``sqrt(tr C)``.
        covariance: Frobenius norm of the error of the covariance over that of C.
        trace: ``tr C`` of the draws over the exact ``tr C``; below 1 the draws vary too little.
        w2: Wasserstein-2 distance of the two Gaussians with these moments over ``sqrt(tr C)``.
    """

    mean: float
    covariance: float
    trace: float
    w2: float


def moment_error(draws: Tensor, mean: Tensor, covariance: Tensor) -> MomentError:
    """Compare the moments of draws with exact ones.

    Args:
        draws: real draws (n, d), n >= 2.
        mean: exact mean (d,).
        covariance: exact covariance (d, d).

    Raises:
        InputError: fewer than two draws, complex draws, or shapes that do not fit.
    """
    if draws.ndim != 2 or len(draws) < 2 or draws.is_complex() or tuple(covariance.shape) != (draws.shape[1],) * 2:
        raise InputError(
            "Moments are of at least two real draws (n, d) against a mean (d,) and a covariance (d, d), got"
            f" {tuple(draws.shape)} and {tuple(covariance.shape)}; flatten the events first."
        )
    draws, mean, covariance = draws.double(), mean.double(), covariance.double()
    its_mean, its_covariance = draws.mean(0), torch.cov(draws.T).reshape(covariance.shape)
    scale = math.sqrt(float(covariance.trace()))
    return MomentError(
        mean=float((its_mean - mean).norm()) / scale,
        covariance=float((its_covariance - covariance).norm() / covariance.norm()),
        trace=float(its_covariance.trace() / covariance.trace()),
        w2=float(gaussian_w2(its_mean, its_covariance, mean, covariance)) / scale,
    )


class ExpectedMomentError(NamedTuple):
    """Root mean square errors of exact Gaussian draws, in the units of :class:`MomentError`.

    Args:
        mean: of the mean.
        covariance: of the covariance.
        trace: standard deviation of the ratio of the traces about 1.
    """

    mean: float
    covariance: float
    trace: float


def expected_moment_error(covariance: Tensor, n: int) -> ExpectedMomentError:
    """The errors of the moments of exact draws of a Gaussian.

    Args:
        covariance: of the Gaussian (d, d).
        n: number of draws, at least 2.

    Raises:
        InputError: fewer than two draws.
    """
    if n < 2:
        raise InputError(f"A covariance needs n >= 2 draws, got {n}.")
    trace, square = float(covariance.double().trace()), float(covariance.double().square().sum())
    return ExpectedMomentError(
        mean=1 / math.sqrt(n),
        covariance=math.sqrt((trace**2 + square) / (n - 1) / square),
        trace=math.sqrt(2 * square / (n - 1)) / trace,
    )
