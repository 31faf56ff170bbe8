r"""The annealed Langevin dynamics of NCSN: the published settings, and the rules that choose them from data.

At each level :math:`\sigma_1 > \dots > \sigma_L` of a geometric grid, T Langevin steps of size
:math:`a_l = \epsilon\,(\sigma_l/\sigma_L)^2`: a :class:`~scorefield.kernels.Langevin` of constant rate
:math:`\epsilon/\sigma_L^2`.  The rules of the second paper, for data in n dimensions:

1. :math:`\sigma_1` is the largest distance of two training images (:func:`largest_distance`).
2. The ratio g of levels lets a draw of one level be a likely draw of the next: the norm of noise in n dimensions is
   close to :math:`N(\sqrt n \sigma, \sigma^2/2)`, and of its mass at one level :math:`1/2` lies within three standard
   deviations of the next, :math:`\Phi(\sqrt{2n}(g-1)+3g) - \Phi(\sqrt{2n}(g-1)-3g) = 1/2` (:func:`ratio`).
3. The network is divided by sigma: ``priors.Unitless``.
4. T steps at :math:`\sigma_L` on a single point, from the variance :math:`(g\sigma_L)^2` of the level before, leave

   .. math:: \frac{s_T^2}{\sigma_L^2} = (1 - e)^{2T} (g^2 - c) + c, \qquad c = \frac{2e}{1 - (1 - e)^2},
             \quad e = \epsilon/\sigma_L^2,

   and :math:`\epsilon` brings that closest to 1 (:func:`step`).
5. The weights are averaged over training: ``Settings.ema`` of :func:`scorefield.train`.

References:
    Song & Ermon, NeurIPS 2019, arXiv 1907.05600 (v1; the paper writes a/2 for our a, its image code our a);
    Song & Ermon, "Improved techniques for training score-based generative models", NeurIPS 2020, arXiv 2006.09011.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel, Repeat, Then
from scorefield.kernels.final import FinalDenoise
from scorefield.kernels.langevin import Langevin
from scorefield.linalg.parts import as_rows
from scorefield.schedules import Geometric

CHUNK = 1024  # images whose distances to all others are in memory at once


@dataclass(frozen=True)
class AnnealedLangevin:
    """A setting of annealed Langevin dynamics: the arguments of ``sample`` in addition to the prior.

    ``sample(prior, setting.kernel, setting.sigmas, n=16)``; the papers start from uniform noise
    (:class:`scorefield.start.Uniform`).

    Args:
        schedule: gives the levels.
        levels: L, their number.
        repeats: T, number of steps at each level.
        step: epsilon, the step at the last level.
        denoise: whether a last step returns the denoised image.
    """

    schedule: Geometric
    levels: int
    repeats: int = field(kw_only=True)
    step: float = field(kw_only=True)
    denoise: bool = field(default=False, kw_only=True)

    @property
    def sigmas(self) -> Tensor:
        """The levels, then 0: (L + 1,)."""
        return self.schedule.grid(self.levels)

    @property
    def kernel(self) -> Kernel:
        """T Langevin steps at each level, and the last step."""
        steps = Repeat(Langevin(rate=self.step / self.schedule.sigma_min**2), self.repeats)
        return Then(steps, FinalDenoise()) if self.denoise else steps


V1 = AnnealedLangevin(Geometric(0.01, 1.0), 10, repeats=100, step=2e-5)
"""NCSN, all data sets (images in [0, 1])."""

V2_CIFAR10 = AnnealedLangevin(Geometric(0.01, 50.0), 232, repeats=5, step=6.2e-6, denoise=True)
"""NCSNv2 for CIFAR-10 (images in [0, 1]), from the authors' configuration."""


def largest_distance(images: Tensor) -> float:
    """The largest Euclidean distance of two images (N, ...): technique 1's first level.

    Raises:
        InputError: fewer than two images.
    """
    if len(images) < 2:
        raise InputError(f"A distance is between two images, got {len(images)}.")
    rows = as_rows(images)
    return max(torch.cdist(part, rows).max().item() for part in rows.split(CHUNK))


def ratio(dimension: int) -> float:
    """Technique 2's ratio of neighboring levels for images of ``dimension`` real numbers; 1.0398 for 3 x 32 x 32.

    Raises:
        InputError: fewer than 5 dimensions, where the overlap is above one half at every ratio.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    def excess(g: float) -> float:
        shift = math.sqrt(2 * dimension) * (g - 1)
        return float(ndtr(shift + 3 * g) - ndtr(shift - 3 * g)) - 0.5

    if dimension < 5:
        raise InputError("In fewer than 5 dimensions every ratio of levels overlaps enough; choose one, such as 2.")
    root: Any = brentq(excess, 1.0, 1e6, xtol=1e-12)
    return float(root)


def spread(step: float, *, sigma_min: float, ratio: float, repeats: int) -> float:
    """Technique 4's ``s_T^2 / sigma_L^2``: the variance that the last level's steps leave around a single point."""
    e = step / sigma_min**2
    c = 2 * e / (1 - (1 - e) ** 2)
    return (1 - e) ** (2 * repeats) * (ratio**2 - c) + c


def step(*, sigma_min: float, ratio: float, repeats: int) -> float:
    """Technique 4's epsilon, which brings :func:`spread` closest to 1 for a given number of steps."""
    from scipy.optimize import minimize_scalar

    def excess(e: float) -> float:
        return spread(e * sigma_min**2, sigma_min=sigma_min, ratio=ratio, repeats=repeats)

    result: Any = minimize_scalar(excess, bounds=(1e-9, 1.0), method="bounded", options={"xatol": 1e-10})
    return float(result.x) * sigma_min**2


def improved(images: Tensor, *, sigma_min: float = 0.01, repeats: int = 5) -> AnnealedLangevin:
    """The setting that techniques 1, 2 and 4 choose for training images (N, C, *spatial).

    Args:
        sigma_min: the last level; 0.01 is published for images in [0, 1].
        repeats: steps at each level, by the budget; 5 is published.
    """
    g, sigma_max = ratio(as_rows(images[:1]).numel()), largest_distance(images)
    levels = 1 + math.ceil(math.log(sigma_max / sigma_min) / math.log(g))
    g = (sigma_max / sigma_min) ** (1 / (levels - 1))  # for a whole number of levels
    epsilon = step(sigma_min=sigma_min, ratio=g, repeats=repeats)
    return AnnealedLangevin(Geometric(sigma_min, sigma_max), levels, repeats=repeats, step=epsilon, denoise=True)
