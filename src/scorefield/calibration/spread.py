r"""Spread against skill, and the factor that mends the spread.

For draws exchangeable with the truth :math:`E(t - \bar x)^2 = (1 + 1/n)\, E s^2`, s^2 being the draws' variance with
divisor n - 1.  The ratio of the two roots is 1 for a perfect sampler of any n, below 1 when draws vary too little.

Scaling the draws about their mean by f turns the interval :math:`[L, U]` into :math:`\bar x + f\,[L - \bar x,
U - \bar x]`, which holds the truth exactly when f is at least

.. math:: r = \frac{t - \bar x}{U - \bar x} \ \text{ if } t \ge \bar x, \qquad
    r = \frac{t - \bar x}{L - \bar x} \ \text{ otherwise.}

So the coverage as a function of f is the distribution function of r, and the factor that gives a wanted coverage is a
quantile of r.

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
        """Spread over error: 1 is right, below 1 the draws vary too little."""
        return self.spread / self.error if self.error > 0 else math.inf


def spread_skill(draws: Tensor, truth: Tensor) -> SpreadSkill:
    """Spread and error over scans and quantities.

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
    """The factor on the spread about the mean with which the intervals of ``level`` cover as they should.

    Above 1 the intervals are too narrow.  What they should cover is :func:`scorefield.metrics.expected_coverage`.

    Args:
        draws: real numbers (scans, n, *quantities), n >= 2.
        truth: (scans, *quantities).
        level: nominal probability.

    Raises:
        InputError: shapes that do not fit, non-finite numbers, a single draw, or intervals without width whose truth
            lies outside, which no factor mends.
    """
    check_scans(draws, truth)
    n = _several(draws)
    wanted = expected_coverage(n, level)
    found = needed_factors(draws, truth, level).flatten().sort().values
    factor = float(found[min(len(found), math.ceil(wanted * len(found))) - 1])
    if not math.isfinite(factor):
        raise InputError(
            f"More than {1 - wanted:.0%} of the truths lie outside intervals without any width, which no factor mends;"
            " the draws do not vary there."
        )
    return factor


def needed_factors(draws: Tensor, truth: Tensor, level: float) -> Tensor:
    """The smallest factor with which each interval holds its truth: (scans, *quantities); infinite if none does.

    The mean of few skewed draws may lie outside of a narrow interval; half a width of 0 then holds nothing beyond it.
    """
    low, high = Samples(draws.double().transpose(0, 1)).interval(level)
    mean = draws.double().mean(1)
    gap = truth - mean
    reach = torch.where(gap >= 0, high - mean, mean - low).clamp(min=0)
    return torch.where(gap == 0, 0.0, gap.abs() / reach)


def recalibrated(samples: Samples, factor: float) -> Samples:
    """Samples whose draws are ``factor`` times as far from their mean; the mean stays.

    The factor belongs to one prior, method and scan geometry, and to the quantities it was measured on.

    Raises:
        InputError: a factor that is not positive and finite.
    """
    if not 0 < factor < math.inf:
        raise InputError(f"A recalibration factor is positive and finite, got {factor:g}; see recalibration_factor.")
    mean = samples.mean
    made = {**samples.provenance, "recalibrated": factor * samples.provenance.get("recalibrated", 1.0)}
    return Samples(mean + factor * (samples.draws - mean), samples.cost, made)


def _several(draws: Tensor) -> int:
    if draws.shape[1] < 2:
        raise InputError(f"Spread needs at least two draws a scan, got {draws.shape[1]}; sample with a larger n.")
    return draws.shape[1]
