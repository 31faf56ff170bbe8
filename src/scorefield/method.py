r"""How to reconstruct: the method for scans, and the one for a few numbers.

**Scans.**  MMPS takes :math:`x_0 \mid x` for a Gaussian: exact where the prior is one, and near it where an image hangs
on thousands of data.  Where few data choose among distant modes it gets their weights wrong, whatever the number of
levels (``docs/which_sampler.md``): they are decided where :math:`x_0 \mid x` has several modes, and the error is in the
law that is walked, not in the walk.

**A few numbers.**  There a population of particles is affordable that is exact in its limit.  It needs to start above
all modes, and a few data do not say where they are; but the prior does.  At a level far above its width

.. math::
    \operatorname{tr} \mathrm{Cov}(x_0) \approx \sigma\, E \langle z, D(m + \sigma z, \sigma) - D(m, \sigma) \rangle,
    \qquad z \sim N(0, I),

so the level is doubled until it is five times the root of that trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.kernel import Kernel
from scorefield.kernels.dpm import DPMpp2M
from scorefield.kernels.particles import Particles
from scorefield.measurement import Measurement
from scorefield.memory import draws_that_fit
from scorefield.noise import normal_like
from scorefield.posteriors.mmps import MMPS
from scorefield.prior import Prior
from scorefield.streams import stream

FEW = 16  # real numbers of data that particles treat densely
SMALL = 1024  # numbers of an image, above which a population costs too much
POPULATION = 4000  # particles, or four a draw
LEVELS = 200
ABOVE = 5.0  # first level over the prior's width
BELOW = 1e-4  # last level over the first
PROBES = 64
DOUBLINGS = 40


@dataclass(frozen=True)
class Method:
    """How :func:`scorefield.reconstruct` samples; levels are in units of the image's intensity.

    Args:
        posterior: builds the posterior from prior and measurement.
        kernel: the sampler's step.
        steps: number of steps; a first-order or multistep kernel takes one denoiser evaluation each.
        sigma_max: first noise level over the intensity (99th percentile of the magnitude).
        sigma_min: last noise level over the intensity.
        batch: draws walked together; by default as many as fit in memory, and at most 8.
    """

    posterior: Callable[[Prior, Measurement], Prior] = MMPS
    kernel: Kernel = field(default_factory=lambda: DPMpp2M(eta=1.0))
    steps: int = 24
    sigma_max: float = 2.0
    sigma_min: float = 0.01
    batch: int | None = None


def for_few_data(prior: Prior, measurement: Measurement, image: Tensor, n: int, intensity: float) -> Method | None:
    """Particles, all draws one population, where they are affordable and the prior says how wide it is; else None.

    Affordable are up to 16 real numbers of data and 1024 of the image, and a prior in the units of the data (a closed
    form or the caller's own, without a card): it is evaluated a million times.

    Args:
        image: any image (1, *shape) of the dtype wanted.
        n: number of draws.
        intensity: unit of the method's levels.
    """
    numbers, data = (t.numel() * (2 if t.is_complex() else 1) for t in (image, measurement.y))
    if prior.card is not None or data > FEW or numbers > SMALL:
        return None
    first = level_above(prior, image, intensity)
    if first is None:
        return None
    at_once = draws_that_fit(prior, image, torch.tensor(first, dtype=torch.float64))
    kernel = Particles(measurement, oversampling=max(4, math.ceil(POPULATION / n)), at_once=min(at_once, POPULATION))
    return Method(unconditional, kernel, LEVELS, first / intensity, BELOW * first / intensity, batch=n)


def unconditional(prior: Prior, measurement: Measurement) -> Prior:
    """The prior itself: for kernels that hold the measurement."""
    del measurement
    return prior


@torch.no_grad()
def level_above(prior: Prior, image: Tensor, sigma: float) -> float | None:
    """The first of ``sigma``, twice, four times ... ``sigma`` that is five times the prior's width.

    None if there is none: the prior is improper, or knows no units.

    Args:
        image: any image (1, *shape) of the dtype wanted.
    """
    generator = torch.Generator(image.device).manual_seed(stream(0, "width"))
    prior = prior.draw(generator)
    z = normal_like(image.expand(PROBES, *image.shape[1:]), generator)
    center = torch.zeros_like(image)
    for _ in range(DOUBLINGS):
        center = prior.denoise(center, sigma)
        moved = prior.denoise(center + sigma * z, sigma) - prior.denoise(center, sigma)
        variance = sigma * float((z.conj() * moved).real.double().sum()) / PROBES
        if not math.isfinite(variance):
            return None
        if ABOVE**2 * variance <= sigma**2:
            return sigma
        sigma *= 2
    return None
