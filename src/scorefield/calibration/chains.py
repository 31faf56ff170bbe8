r"""Diagnostics of Markov chains: effective sample size and split R-hat, by ranks.

With W the mean of the variances within M chains of N states and B/N the variance of their means,

.. math::
    \hat R^2 = \frac{N - 1}{N} + \frac{B}{N W}, \qquad
    \mathrm{ESS} = \frac{M N}{\tau}, \qquad \tau = -1 + 2 \sum_{k} \hat P_k, \quad
    \hat P_k = \hat\rho_{2k} + \hat\rho_{2k+1},

with autocorrelations pooled over chains, :math:`\hat\rho_t = 1 - (W - \overline{s_m^2 \rho_{t,m}}) / \mathrm{var}^+`,
:math:`\mathrm{var}^+ = \frac{N-1}{N} W + \frac{B}{N}`, where the sum of the pairs ends at the first that is
not positive and the pairs are made non-increasing (Geyer).  Each chain is split in two, so that a trend is a difference
between chains.  Values are replaced by the normal scores of their ranks, so that infinite variances do no harm.  The
R-hat of the distances from the median detects chains with one center and different widths; the larger R-hat of the two
is reported.

References:
    Vehtari, Gelman, Simpson, Carpenter, Buerkner, "Rank-normalization, folding, and localization: an improved R-hat",
    Bayesian Analysis 2021, arXiv 1903.08008 (mixed below 1.01, with an ESS above 400); Geyer, Statistical Science 1992.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError

TAIL = 0.05  # probability of each tail of the tail ESS


def split_rhat(chains: Tensor) -> Tensor:
    """Rank-normalized split R-hat, the larger of bulk and folded: (*event,); near 1 the chains have mixed.

    Args:
        chains: states of M chains of N steps (M, N, *event), real, N >= 4.

    Raises:
        InputError: fewer than four states a chain, complex or non-finite states.
    """
    halves = _split(chains)
    states = halves.flatten(0, 1).sort(0).values
    middle = (states[(len(states) - 1) // 2] + states[len(states) // 2]) / 2
    folded = (halves - middle).abs()
    return torch.maximum(_rhat(_normal_scores(halves)), _rhat(_normal_scores(folded)))


def effective_sample_size(chains: Tensor) -> Tensor:
    """The number of independent draws that give the mean as precisely as the chains, by ranks (bulk ESS): (*event,).

    Args:
        chains: states of M chains of N steps (M, N, *event), real, N >= 4.

    Raises:
        InputError: fewer than four states a chain, complex or non-finite states.
    """
    return _ess(_normal_scores(_split(chains)))


def tail_effective_sample_size(chains: Tensor) -> Tensor:
    """The smaller of the effective sample sizes for the 5 % and the 95 % quantile: (*event,).

    Args:
        chains: states of M chains of N steps (M, N, *event), real, N >= 4.

    Raises:
        InputError: fewer than four states a chain, complex or non-finite states.
    """
    halves = _split(chains)
    states = chains.double().flatten(0, 1).sort(0).values
    ends = [states[math.floor(q * (len(states) - 1))] for q in (TAIL, 1 - TAIL)]
    return torch.minimum(*(_ess((halves <= end).double()) for end in ends))


def _split(chains: Tensor) -> Tensor:
    """Split each chain into two; the middle state of an odd length is left out."""
    if chains.ndim < 2 or chains.shape[1] < 4 or chains.is_complex() or not bool(chains.isfinite().all()):
        raise InputError(
            f"Chains are real and finite, (M, N >= 4, *event), got {chains.dtype} of shape {tuple(chains.shape)};"
            " stack the states of each chain along the second axis."
        )
    half = chains.shape[1] // 2
    return torch.cat([chains[:, :half], chains[:, -half:]]).double()


def _normal_scores(chains: Tensor) -> Tensor:
    """Normal quantiles of the pooled ranks at Blom's positions (r - 3/8)/(S + 1/4); ties share their mean rank."""
    pooled = chains.flatten(0, 1)
    ordered = pooled.sort(0).values.movedim(0, -1).contiguous()
    values = pooled.movedim(0, -1).contiguous()
    below = torch.searchsorted(ordered, values)
    through = torch.searchsorted(ordered, values, right=True)
    rank = (below + through + 1).double() / 2
    return torch.special.ndtri((rank - 0.375) / (len(pooled) + 0.25)).movedim(-1, 0).reshape(chains.shape)


def _rhat(chains: Tensor) -> Tensor:
    n = chains.shape[1]
    within, between = chains.var(1).mean(0), chains.mean(1).var(0)
    return torch.where(within > 0, ((n - 1) / n + between / within).sqrt(), torch.where(between > 0, math.inf, 1.0))


def _ess(chains: Tensor) -> Tensor:
    """Effective sample size of the means; the number of states where all of them are equal."""
    m, n = chains.shape[:2]
    covariance = _autocovariance(chains)
    variance = covariance[:, 0] * n / (n - 1)
    within = variance.mean(0)
    total = (n - 1) / n * within + chains.mean(1).var(0)
    rho = 1 - (within - covariance.mean(0)) / torch.where(total > 0, total, 1.0)
    rho[0] = 1.0
    pairs = 1 + max(0, (n - 3) // 2)  # the last lags have too few products to be looked at
    even, odd = rho[0 : 2 * pairs : 2], rho[1 : 2 * pairs : 2]
    positive = (even + odd > 0).double().cumprod(0)
    positive[-1] = 0.0  # the last pair ends the sum, whatever its sign
    falling = ((even + odd) * positive).cummin(0).values.clamp(min=0)
    # the first correlation after the last positive pair improves antithetic chains (Vehtari et al., section 3.2)
    after = even.gather(0, positive.sum(0, keepdim=True).long())[0].clamp(min=0)
    tau = -1 + 2 * falling.sum(0) + after
    size = m * n / tau.clamp(min=1 / math.log10(m * n))
    return torch.where(total > 0, size, float(m * n))


def _autocovariance(chains: Tensor) -> Tensor:
    """Autocovariances of each chain at lags 0 ... N - 1, divisor N, by the fast Fourier transform."""
    n = chains.shape[1]
    centered = chains - chains.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(centered, n=2 * n, dim=1)
    return torch.fft.irfft(spectrum.abs().square(), n=2 * n, dim=1)[:, :n] / n
