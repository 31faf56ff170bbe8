r"""How ``which_sampler.py`` scores the draws of several seeds: distance, mean, spread and modes, with their errors.

The score is the sliced Wasserstein distance over that of exact draws (:class:`scorefield.calibration.Yardstick`).
Where draws are few it does not see everything, so the mean and the spread of the draws are also tested.

The squared error of the mean must not contain the scatter of the draws.  With the errors :math:`m_s` of the means of S
seeds, the estimate

.. math:: \frac{|\sum_s m_s|^2 - \sum_s |m_s|^2}{S (S - 1)}

has the expectation :math:`|E\,m_s|^2`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from scorefield.calibration import Yardstick, mode_weights, sliced_wasserstein, weight_error

DIRECTIONS = 100
REPEATS = 8  # exact samples beside each sample of draws
SEEN = 1.2  # the excess that a measurement must see


def pick(pool: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """``n`` different draws of a pool."""
    return pool[torch.randperm(len(pool), generator=generator)[:n]]


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return sliced_wasserstein(a, b, directions=DIRECTIONS, generator=torch.Generator().manual_seed(2))


class Judge:
    """Exact draws of a bench, and the score of the draws of a sampler.

    Args:
        bench: with an exact ``posterior``.
        n: number of draws of a seed.
        pool: number of exact draws, of which samples are picked.
        pairs: number of pairs of exact samples behind the floor.

    Attributes:
        shift: the error of the mean, in posterior standard deviations, that gives an exact sampler's draws an excess
            of 20 %.
    """

    def __init__(self, bench: Any, n: int, pool: int, pairs: int):
        draws = bench.posterior.rsample(pool, torch.Generator().manual_seed(1))
        self.n = n
        self.mean = bench.posterior.mean if hasattr(bench.posterior, "covary") else draws.mean(0)
        self.trace = float((draws - self.mean).square().flatten(1).sum(1).mean())
        self.modes = bench.posterior.means if hasattr(bench, "weights") else None
        self.shares = None if self.modes is None else mode_weights(draws, self.modes)
        self.generator = torch.Generator().manual_seed(3)
        self.yardstick = Yardstick(
            _distance,
            lambda n, generator: pick(draws, n, generator),
            n,
            repeats=REPEATS,
            pairs=pairs,
            generator=self.generator,
        )
        floor = self.yardstick.floor.mean
        self.shift = (SEEN**2 - 1) ** 0.5 * floor / (self.trace / draws[0].numel()) ** 0.5
        chance = [self._modes(pick(draws, n, self.generator)) for _ in range(64)]
        self.chance = sum(chance) / len(chance)

    def __call__(self, samples: list[Tensor]) -> dict[str, Any]:
        """The numbers of one sampler, given the draws (n, *event) of each seed."""
        self.generator.manual_seed(4)  # all samplers are compared with the same exact draws
        score = self.yardstick(*samples)
        bias, certain = bias_of(torch.stack([draws.mean(0) - self.mean for draws in samples]) / self.trace**0.5)
        spread = torch.tensor([self._spread(draws) for draws in samples], dtype=torch.float64)
        numbers = {"distance": score.value, "low": score.low, "high": score.high, "mean": bias}
        numbers |= {"spread": float(spread.mean()), "seeds": len(samples)}
        z = {"mean": certain, "spread": z_score(spread)}
        if self.modes is not None:
            modes = torch.tensor([self._modes(draws) for draws in samples], dtype=torch.float64)
            numbers["modes"], z["modes"] = float(modes.mean()), z_score(modes - self.chance)
        return {**numbers, "z": z}

    def _spread(self, draws: Tensor) -> float:
        """The excess of the total standard deviation."""
        return (float((draws - draws.mean(0)).square().sum()) / (len(draws) - 1) / self.trace) ** 0.5 - 1

    def _modes(self, draws: Tensor) -> float:
        """The total variation distance of the weights of the modes, chance included."""
        if self.modes is None or self.shares is None:
            return 0.0
        return weight_error(mode_weights(draws, self.modes), self.shares)


def z_score(values: Tensor) -> float:
    """The mean of the values of independent seeds (S,) over its standard error."""
    return float(values.mean() / (values.std() / math.sqrt(len(values))).clamp(min=1e-12))


def bias_of(errors: Tensor) -> tuple[float, float]:
    """The size of the mean of errors (S, *event) without the scatter of the seeds, and how sure it is above 0.

    Returns:
        The root of the estimate above, 0 where it is negative; the estimate over its standard error by the jackknife.
    """
    gram = errors.flatten(1).double()
    gram = gram @ gram.T
    pairs, count = gram - gram.diag().diag(), len(gram)
    square = pairs.sum() / (count * (count - 1))
    without = (pairs.sum() - 2 * pairs.sum(0)) / ((count - 1) * (count - 2))  # each seed left out
    error = ((count - 1) / count * (without - without.mean()).square().sum()).sqrt()
    return float(square.clamp(min=0).sqrt()), float(square / error.clamp(min=1e-300))
