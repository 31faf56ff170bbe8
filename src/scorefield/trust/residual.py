r"""Do the draws explain the scan?  The whitened residual of each draw against the law it must have.

If prior, operator and noise are right, a posterior draw :math:`x` and the data :math:`y` are distributed as
the true image and its data.  So :math:`\|R^{-1/2}(y - A x)\|^2 \sim \chi^2_m` with m the number of real
measurements (complex samples count twice): about m, give or take :math:`\sqrt{2m}`, and *not* smaller, as a
maximum-likelihood fit's would be.  The draws of one scan share its y, so their values are not independent of
each other; their mean spreads at most as much as one of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from scorefield.arguments import of_kind
from scorefield.errors import InputError
from scorefield.measurement import Measurement, as_measurement
from scorefield.samples import Samples
from scorefield.trust.verdict import Verdict

LIMIT = 3.0  # |z| beyond which chance is no explanation: 0.3 % of right models
TOLERANCE = 0.01  # of the noise: chosen; with many data chance alone allows less than samplers can do (docs/trust.md)


@dataclass(frozen=True)
class ResidualCheck:
    """The whitened residuals of the draws and their law.

    Attributes:
        count: number m of real measurements.
        statistics: ``|R^-1/2 (y - A x)|^2`` of each draw.
        low: 2.5 % quantile of chi-square with m degrees of freedom.
        high: 97.5 % quantile.
    """

    count: int
    statistics: tuple[float, ...]
    low: float
    high: float

    @property
    def mean(self) -> float:
        """Mean of the statistics over the draws; about ``count`` when all is right."""
        return sum(self.statistics) / len(self.statistics)

    @property
    def zs(self) -> tuple[float, ...]:
        """``(statistic - m) / sqrt(2 m)`` of each draw."""
        return tuple((s - self.count) / math.sqrt(2 * self.count) for s in self.statistics)

    @property
    def z(self) -> float:
        """``(mean - m) / sqrt(2 m)``: within +-3 when all is right and the sampler exact."""
        return (self.mean - self.count) / math.sqrt(2 * self.count)

    @property
    def ratio(self) -> float:
        """Root mean square misfit in units of the noise: 1 when all is right."""
        return math.sqrt(self.mean / self.count)

    @property
    def passed(self) -> bool:
        """Whether the mean statistic is within three standard deviations, or the misfit within 1 %, of the law's."""
        return abs(self.z) <= LIMIT or abs(self.ratio - 1) <= TOLERANCE

    @property
    def words(self) -> Verdict:
        """The outcome for a person."""
        numbers = f"the draws miss the data by {self.ratio:.3f} times the noise, where 1 is right; z = {self.z:+.1f}"
        if self.passed:
            return Verdict(
                "Consistent with the scan",
                "The draws explain the measured data to within their noise.",
                numbers,
            )
        if self.z > 0:
            return Verdict(
                "The draws do not fit the scan",
                "They leave more unexplained than noise can be: the stated noise is too low, the model is not quite"
                " this scanner's (coil maps, angles, center), or the prior overrules the data. Do not rely on details.",
                numbers,
            )
        return Verdict(
            "The draws fit the scan too closely",
            "They follow the noise of the data: the stated noise is too high, or the draws vary too little. Do not rely"
            " on the intervals.",
            numbers,
        )

    @property
    def verdict(self) -> str:
        """The outcome in one paragraph."""
        return str(self.words)


def residual_check(samples: Samples, measurement: Measurement) -> ResidualCheck:
    """The whitened residual of each draw against its chi-square law.

    Entries that are exactly zero in the data and in every prediction (k-space stored with zeros where nothing
    was measured) are not measurements and are not counted.

    Raises:
        InputError: draws that are not images of the measurement's operator, or data without a measured entry.
    """
    from scipy.special import gammaincinv

    of_kind(samples, Samples, "samples", "give the samples of a reconstruction, or sf.Samples(draws)")
    measurement = as_measurement(measurement)
    if tuple(samples.draws.shape[1:]) != measurement.shape:
        raise InputError(
            f"The draws have shape {tuple(samples.draws.shape[1:])} but the scan's images"
            f" {measurement.shape}; pass the measurement they were drawn from."
        )
    measured = measurement.y[0] != 0
    statistics = []
    for draw in samples.draws.to(measurement.y.device).split(1):  # one at a time: data of many coils are large
        mean = measurement.operator(draw)
        measured = measured | (mean[0] != 0)
        whitened = measurement.noise.standardize(measurement.y, mean)
        statistics.append(float(whitened.abs().double().square().sum()))
    count = int(measured.sum()) * (2 if torch.is_complex(measurement.y) else 1)
    if count == 0:
        raise InputError("The data are zero everywhere, so there is nothing to check; pass the measured data.")
    low, high = (2 * float(gammaincinv(count / 2, p)) for p in (0.025, 0.975))
    return ResidualCheck(count, tuple(statistics), low, high)
