r"""Laws of photon counts: emission, as in PET and SPECT, and transmission, as in low-dose CT.

Counts y of rate r have :math:`\log p = y \log r - r - \log y!`, so with a rate that is a function of the
noiseless value m

.. math:: \frac{\partial \log p}{\partial m} = \Big(\frac{y}{r} - 1\Big) \frac{\partial r}{\partial m}.

Emission has :math:`r = m + b`, transmission :math:`r = I_0 e^{-m} + b`, where b are counts of other
origin (scatter, randoms).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise.base import Noise, part_of
from scorefield.noise.counts import as_counts, check_counts
from scorefield.noise.gaussian import Gaussian
from scorefield.noise.weighted import Weighted

LEAST = -1.0  # line integral below which photons continue along their tangent


class PoissonEmission(Noise):
    """Poisson counts of rate ``m + background``, where m is the prediction of the operator.

    Samplers try images with rates that no data have.  Below ``floor`` the logarithm of the rate continues along its
    tangent: the log-density stays concave; its score stays finite and points upward where there are counts.

    Args:
        background: expected counts of other origin, a number or one for each datum.
        floor: rate, in counts, below which the logarithm continues along its tangent.

    Raises:
        InputError: a negative background, or a floor that is not positive.
    """

    def __init__(self, background: Tensor | float = 0.0, *, floor: float = 0.1):
        if not 0 < floor < math.inf:
            raise InputError(f"PoissonEmission needs a positive finite floor, got {floor:g} counts.")
        self.background, self.floor = background, floor
        self._background = as_counts(background, "background counts")

    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor:
        check_counts(y, mean)
        rate = mean + self._background.to(mean)
        known = rate.clamp(min=self.floor)
        log_rate = known.log() + (rate - known) / self.floor
        return (y * log_rate - rate - torch.lgamma(y + 1)).flatten(1).sum(1)

    def score(self, y: Tensor, mean: Tensor) -> Tensor:
        check_counts(y, mean)
        return y / (mean + self._background.to(mean)).clamp(min=self.floor) - 1

    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        check_counts(mean, mean)
        return torch.poisson(mean + self._background.to(mean), generator)

    def part(self, axis: int, index: Tensor, shape: tuple[int, ...]) -> PoissonEmission:
        return PoissonEmission(part_of(self._background, axis, index, shape), floor=self.floor)

    def linear_data(self, y: Tensor) -> tuple[Tensor, Gaussian]:
        """``y + min(y, 1) - b`` of variance ``y + 1``: their weighted mean is the rate, also of few counts.

        References:
            Mighell, "Parameter estimation in astronomy with Poisson-distributed data", ApJ 518, 1999.
        """
        check_counts(y, y)
        return y + y.clamp(max=1) - self._background.to(y), Weighted((y[0] + 1).sqrt())

    def standardize(self, y: Tensor, mean: Tensor) -> Tensor:
        check_counts(y, mean)
        rate = (mean + self._background.to(mean)).clamp(min=self.floor)
        return (y - rate) / rate.sqrt()


class PoissonTransmission(Noise):
    r"""Poisson counts of rate :math:`I_0 e^{-m} + b`: photons left after a line integral m of attenuation.

    Samplers try images with line integrals that no object has.  Below -1 the photons continue along their tangent: the
    rate of images far outside stays finite, and the score pushes them back.

    Args:
        blank: counts :math:`I_0` without the object, a number or one for each datum.
        background: expected counts b of other origin.

    Raises:
        InputError: negative numbers, or a blank scan of 0 counts.
    """

    def __init__(self, blank: Tensor | float, background: Tensor | float = 0.0):
        self.blank, self.background = blank, background
        self._blank, self._background = as_counts(blank, "blank scan"), as_counts(background, "background counts")
        if not bool((self._blank > 0).all()):
            raise InputError("A blank scan of 0 counts measures nothing; leave those data out.")

    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor:
        check_counts(y, mean)
        blank, beyond = self._blank.to(mean), (LEAST - mean).clamp(min=0)
        inside = mean.clamp(min=LEAST)
        passed = blank * torch.exp(-inside) * (1 + beyond)
        # log(passed) is a difference of moderate numbers even where passed underflows
        log_passed = blank.log() - inside + torch.log1p(beyond)
        background = self._background.to(mean).expand_as(mean)
        log_rate = torch.logaddexp(log_passed, background.log())
        return (y * log_rate - passed - background - torch.lgamma(y + 1)).flatten(1).sum(1)

    def score(self, y: Tensor, mean: Tensor) -> Tensor:
        check_counts(y, mean)
        beyond = (LEAST - mean).clamp(min=0)
        slope, background = self._blank.to(mean) * torch.exp(-mean.clamp(min=LEAST)), self._background.to(mean)
        passed, tiny = slope * (1 + beyond), torch.finfo(mean.dtype).tiny
        share = torch.where(background > 0, slope / (passed + background).clamp(min=tiny), 1 / (1 + beyond))
        return slope - y * share

    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.poisson(self._blank.to(mean) * torch.exp(-mean) + self._background.to(mean), generator)

    def part(self, axis: int, index: Tensor, shape: tuple[int, ...]) -> PoissonTransmission:
        blank, background = (part_of(counts, axis, index, shape) for counts in (self._blank, self._background))
        return PoissonTransmission(blank, background)

    def linear_data(self, y: Tensor) -> tuple[Tensor, Gaussian]:
        r"""Line integrals :math:`\log I_0 - \log(y - b + \tfrac12)`, with ``std = sqrt(y + 1/2) / (y - b + 1/2)``.

        The half removes the bias of the logarithm to first order.  A ray without a photon gives :math:`\log 2 I_0`.
        """
        check_counts(y, y)
        passed = (y - self._background.to(y)).clamp(min=0) + 0.5
        return self._blank.to(y).log() - passed.log(), Weighted(((y + 0.5).sqrt() / passed)[0])

    def standardize(self, y: Tensor, mean: Tensor) -> Tensor:
        check_counts(y, mean)
        beyond = (LEAST - mean).clamp(min=0)
        passed = self._blank.to(mean) * torch.exp(-mean.clamp(min=LEAST)) * (1 + beyond)
        rate = (passed + self._background.to(mean)).clamp(min=torch.finfo(mean.dtype).tiny)
        return (y - rate) / rate.sqrt()
