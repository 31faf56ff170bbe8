r"""The spread of draws against their error, and the factor that corrects the spread.

If the draws are exchangeable with the truth, :math:`E(t - \bar x)^2 = (1 + 1/n)\, E s^2`, where s^2 is the variance of
the draws with divisor n - 1.  The ratio of the two roots is 1 for a perfect sampler and any n, and below 1 when the
draws vary too little.

Scaling the draws about their mean by a factor f turns the interval :math:`[L, U]` into
:math:`\bar x + f\,[L - \bar x, U - \bar x]`.  It contains the truth if f is at least

.. math:: r = \frac{t - \bar x}{U - \bar x} \ \text{ if } t \ge \bar x, \qquad
    r = \frac{t - \bar x}{L - \bar x} \ \text{ otherwise.}

So the coverage as a function of f is the distribution function of r, and a quantile of r is the factor that gives the
wanted coverage.

References:
    Fortin, Abaza, Anctil, Turcotte, "Why should ensemble spread match the RMSE of the ensemble mean?", Journal of
    Hydrometeorology 2014; Kuleshov, Fenner, Ermon, ICML 2018, arXiv 1807.00263 (recalibration by quantiles).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.calibration.ranks import check_scans
from scorefield.errors import InputError
from scorefield.metrics import expected_coverage
from scorefield.samples import Samples


class SpreadSkill(NamedTuple):
    """Root mean square spread and error, in the unit of the quantities.

    Args:
        spread: root of the mean variance of the draws, times ``sqrt(1 + 1/n)``.
        error: root mean square error of the draws' mean.
    """

    spread: float
    error: float

    @property
    def ratio(self) -> float:
        """Spread over error: 1 for a perfect sampler, below 1 when the draws vary too little."""
        return self.spread / self.error if self.error > 0 else math.inf


def spread_skill(draws: Tensor, truth: Tensor) -> SpreadSkill:
    """Root mean square spread and error over scans and quantities.

    Args:
        draws: real numbers (scans, n, *quantities), n >= 2.
        truth: (scans, *quantities).

    Raises:
        InputError: shapes that do not fit, non-finite numbers, or a single draw.
    """
    check_scans(draws, truth)
    n = _several(draws)
    variance = draws.double().var(1).mean()
    error = (draws.double().mean(1) - truth).square().mean()
    return SpreadSkill(math.sqrt((1 + 1 / n) * float(variance)), math.sqrt(float(error)))


def recalibration_factor(draws: Tensor, truth: Tensor, level: float = 0.9) -> float:
    """The factor on the spread about the mean that gives the intervals of ``level`` their expected coverage.

    Above 1 the intervals are too narrow.  The expected coverage is :func:`scorefield.metrics.expected_coverage`.

    Args:
        draws: real numbers (scans, n, *quantities), n >= 2.
        truth: (scans, *quantities).
        level: nominal probability.

    Raises:
        InputError: shapes that do not fit, non-finite numbers, a single draw, or too many intervals of width 0 that
            do not contain their truth, which no factor corrects.
    """
    check_scans(draws, truth)
    n = _several(draws)
    wanted = expected_coverage(n, level)
    factors = needed_factors(draws, truth, level).flatten().sort().values
    factor = float(factors[min(len(factors), math.ceil(wanted * len(factors))) - 1])
    if not math.isfinite(factor):
        raise InputError(
            f"More than {1 - wanted:.0%} of the truths lie outside intervals of width 0, which no factor corrects;"
            " leave out the quantities whose draws do not vary."
        )
    return factor


def needed_factors(draws: Tensor, truth: Tensor, level: float) -> Tensor:
    """The smallest factor with which each interval contains its truth: (scans, *quantities); infinite if there is none.

    The mean of a few skewed draws may lie outside of a narrow interval.  The half-width on that side is then taken as
    0.

    Args:
        draws: real numbers (scans, n, *quantities), n >= 2.
        truth: (scans, *quantities).
        level: nominal probability of the intervals.
    """
    low, high = Samples(draws.double().transpose(0, 1)).interval(level)
    mean = draws.double().mean(1)
    gap = truth - mean
    reach = torch.where(gap >= 0, high - mean, mean - low).clamp(min=0)
    return torch.where(gap == 0, 0.0, gap.abs() / reach)


def recalibrated(samples: Samples, factor: float) -> Samples:
    """Scale the draws about their mean by ``factor``; the mean does not change.

    The factor is valid for the prior, method, scan geometry and quantities on which it was measured.

    Args:
        samples: of one reconstruction.
        factor: positive, by :func:`recalibration_factor`.

    Returns:
        New samples, whose provenance states the factor.

    Raises:
        InputError: a factor that is not positive and finite.
    """
    if not 0 < factor < math.inf:
        raise InputError(f"A recalibration factor is positive and finite, got {factor:g}; see recalibration_factor.")
    mean = samples.mean
    made = {**samples.provenance, "recalibrated": factor * samples.provenance.get("recalibrated", 1.0)}
    return Samples(mean + factor * (samples.draws - mean), samples.cost, made, samples.nuisance)


def _several(draws: Tensor) -> int:
    if draws.shape[1] < 2:
        raise InputError(f"Spread needs at least two draws a scan, got {draws.shape[1]}; sample with a larger n.")
    return draws.shape[1]
