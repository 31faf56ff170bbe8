r"""How to reconstruct: the method for scans, and the method for a few numbers.

**Scans.**  MMPS approximates :math:`x_0 \mid x` by a Gaussian.  This is exact for a Gaussian prior, and accurate where
thousands of data determine the image.  Where few data choose among distant modes, it gives the modes wrong weights, and
more levels do not help (``docs/which_sampler.md``): the weights are decided at levels where :math:`x_0 \mid x` has
several modes, and there the law that is walked is wrong, not the walk.

**A few numbers.**  Here a population of particles is affordable; it is exact in the limit of many particles.

Both methods start above the width of the prior, because the data may leave the prior as wide as it is.  A learned prior
is as wide as its images.  The width of a closed form follows from its denoiser at noise far above it,

.. math::
    \operatorname{tr} \mathrm{Cov}(x_0) \approx \sigma\, E \langle z, D(m + \sigma z, \sigma) - D(m, \sigma) \rangle,
    \qquad z \sim N(0, I).

Particles end below the width of the posterior.  The data alone determine no direction to a standard deviation below
:math:`1 / \|R^{-1/2} A\|`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scorefield.arguments import brief, of_kind
from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.kernels.dpm import DPMpp2M
from scorefield.kernels.final import FinalDraw
from scorefield.kernels.particles import Particles
from scorefield.kernels.twist import units
from scorefield.linalg.parts import as_rows
from scorefield.measurement import Measurement
from scorefield.posteriors.mmps import MMPS
from scorefield.prior import Prior
from scorefield.randomness import normal_like, stream
from scorefield.reconstruction.memory import draws_that_fit

FEW = 16  # real numbers of data that particles treat densely
SMALL = 1024  # numbers of an image, above which a population costs too much
POPULATION = 8000  # particles, or four a draw
CAUTION = 0.2  # share of the wider twist, which keeps distant modes
DECADE = 25  # levels of particles for each factor of ten
ABOVE = 5.0  # first level over the prior's width
BELOW, RESOLVED = 5e-4, 0.03  # last level of particles, over the prior's width and over what the data resolve
PROBES = 64
FAR = 30.0  # widths from which the prior looks like a Gaussian, to a thousandth of its variance
TRIES = 8


@dataclass(frozen=True)
class Method:
    """How :func:`scorefield.reconstruct` samples; levels are in units of the image's intensity.

    Args:
        posterior: builds the posterior from prior and measurement.
        kernel: the sampler's step; by default the last one draws what the last level leaves open, see
            :class:`scorefield.kernels.FinalDraw`.
        steps: number of steps; a first-order or multistep kernel takes one denoiser evaluation each.
        sigma_max: first noise level over the intensity (:func:`scorefield.units.intensity_of`).
        sigma_min: last noise level over the intensity; no lower than a learned prior was trained.
        batch: number of draws that are walked together and share a stream of random numbers, as in version 0.1 and as
            populations do; the draws depend on it.  By default each draw has a stream of its own, and as many are
            walked together as ``keep`` says or as fit in memory, at most 8.

    Raises:
        InputError: objects of other classes, or numbers out of range.
    """

    posterior: Callable[[Prior, Measurement], Prior] = MMPS
    kernel: Kernel[Any] = field(default_factory=lambda: FinalDraw(DPMpp2M(eta=1.0)))
    steps: int = 24
    sigma_max: float = 2.0
    sigma_min: float = 0.01
    batch: int | None = None

    def __post_init__(self) -> None:
        if not callable(self.posterior):
            raise InputError(f"Expected a posterior, got {brief(self.posterior)}; give a class of sf.posteriors.")
        of_kind(self.kernel, Kernel, "a kernel", "give an object of sf.kernels, such as sf.kernels.Heun()")
        if not (self.steps >= 1 and 0 < self.sigma_min < self.sigma_max < math.inf):
            raise InputError(
                f"A method needs steps >= 1 and finite levels 0 < sigma_min < sigma_max, got {self.steps},"
                f" {self.sigma_min:g} and {self.sigma_max:g}."
            )
        if self.batch is not None and self.batch < 1:
            raise InputError(f"A method walks at least 1 draw together, got batch={self.batch}.")


def default_method(prior: Prior, measurement: Measurement, image: Tensor, n: int, intensity: float) -> Method:
    """Choose the method for a law in closed form: particles for few data and small images, else the method for scans.

    Few data are up to 16 real numbers, small images have up to 1024 numbers: the law is evaluated a million times.
    With particles all draws are one population.  The method for scans starts above the width of the law.

    Args:
        prior: the law, in the user's units.
        image: any image (1, *shape) of the dtype wanted.
        n: number of draws.
        intensity: unit of the method's levels.
    """
    width = width_of(prior, image, intensity)
    if width is None:
        return Method()
    numbers, data = (t.numel() * (2 if t.is_complex() else 1) for t in (image, measurement.y))
    if data > FEW or numbers > SMALL or not measurement.operator.linear:
        return Method(sigma_max=max(Method.sigma_max, ABOVE * width / math.sqrt(numbers) / intensity))
    first, last = ABOVE * width, min(BELOW * width, RESOLVED * resolution(measurement))
    at_once = draws_that_fit(prior, image, torch.tensor(first, dtype=torch.float64))
    oversampling, at_once = max(4, math.ceil(POPULATION / n)), min(at_once, POPULATION)
    kernel = Particles(measurement, oversampling=oversampling, at_once=at_once, caution=CAUTION)
    steps = math.ceil(DECADE * math.log10(first / last))
    return Method(unconditional, kernel, steps, first / intensity, last / intensity, batch=n)


def unconditional(prior: Prior, measurement: Measurement) -> Prior:
    """The prior itself: for kernels that hold the measurement."""
    del measurement
    return prior


def resolution(measurement: Measurement) -> float:
    """``1 / |R^-1/2 A|``: few data determine no direction to a smaller standard deviation.  Infinite where A = 0."""
    scan = measurement.whitened
    rows = scan.operator.H(units(scan.y))
    size = float(torch.linalg.matrix_norm(as_rows(rows).double(), ord=2))
    return 1 / size if size > 0 else math.inf


@torch.no_grad()
def width_of(prior: Prior, image: Tensor, scale: float) -> float | None:
    """Square root of the trace of the prior's covariance, computed from its denoiser at high noise.

    None where there is no finite width: the prior is improper, has no units, or is known at few levels only.

    Args:
        image: any image (1, *shape) of the dtype wanted.
        scale: a number of the order of the intensity of images.
    """
    generator = torch.Generator(image.device).manual_seed(stream(0, "width"))
    prior = prior.draw(generator)
    z = normal_like(image.expand(PROBES, *image.shape[1:]), generator)

    def variance(sigma: float) -> float:
        mean = prior.denoise(prior.denoise(torch.zeros_like(image), sigma), sigma)
        moved = prior.denoise(mean + sigma * z, sigma) - mean
        return sigma * float((z.conj() * moved).real.double().sum()) / PROBES

    try:
        sigma = FAR * scale
        for _ in range(TRIES):
            sigma, total = FAR * sigma, variance(FAR * sigma)
            if not 0 < total < math.inf:
                return None
            if FAR**2 * total <= sigma**2:
                nearer = variance(FAR * math.sqrt(total))  # at less noise the difference has more digits
                return math.sqrt(nearer) if 0 < nearer < math.inf else None
    except InputError:
        pass
    return None
