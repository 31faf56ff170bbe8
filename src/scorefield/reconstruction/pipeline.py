r"""The good default: from a prior and a measurement to posterior samples, with nothing to tune.

What it decides, and from what:

- *Intensity.*  A learned prior has units of its own, stated in its card.  The scan's scale is the 99th percentile of a
ridge-regularized
  least-squares image; the prior is rescaled to it (:class:`scorefield.priors.Scaled`), so data and results stay in the
  scan's units.
- *Complex images.*  If ``A^H y`` is complex and the prior is real, real and imaginary parts are two images of the
prior.
- *Levels.*  From an intensity's worth of noise, where the measured part of the image is all that survives, down to one
per cent of it; from the width of a law in closed form where that is more.
- *Weight.*  None: the likelihood's weight is the noise level and the spread of the image, known to the posterior
approximation.
- *Batches.*  As many draws at once as fit in memory.
- *Few data.*  Where the law is known and the data are few numbers, particles in place of all this
  (:func:`scorefield.reconstruction.method.default_method`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import conjugate_gradients, inner
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.priors.algebra import IndependentParts, Lift
from scorefield.priors.cast import Cast, precision_of
from scorefield.priors.scaled import Scaled
from scorefield.reconstruction.memory import draws_that_fit
from scorefield.reconstruction.method import Method, default_method
from scorefield.runs.partial import Partial
from scorefield.runs.progress import Silent
from scorefield.samples import Samples
from scorefield.sampling import sample
from scorefield.schedules import Karras
from scorefield.units import intensity_of

LINEARIZED = 5  # times, for the first image of an operator that is not linear
LARGEST_BATCH = 8  # larger ones are slower on a CPU (cache), and the same seed should not depend on the memory free


def reconstruct(
    prior: Prior,
    measurement: Measurement,
    *,
    n: int = 16,
    method: Method | None = None,
    seed: int | None = None,
    partial: Partial | None = None,
    progress: Silent | None = None,
) -> Samples:
    """Posterior samples of the image behind ``measurement``.

    Args:
        prior: learned or closed form.
        n: number of draws.
        method: how; by default what :func:`scorefield.reconstruction.method.default_method` chooses.
        seed: fixes the draws.
        partial: where finished batches are kept; a sampling that was interrupted continues from there.

    Returns:
        ``n`` draws in the measurement's units, with cost (of a scan 25 denoiser evaluations a draw by default) and
        provenance.

    Raises:
        InputError: see :func:`scorefield.sampling.sample`.
    """
    image = initial_image(measurement)
    intensity = intensity_of(image)
    method = method or default_method(prior, measurement, image, n, intensity)
    prior = _in_units_of(prior, image, intensity)
    posterior = method.posterior(prior, measurement)
    schedule = Karras(method.sigma_min * intensity, method.sigma_max * intensity)
    sigmas = schedule.grid(method.steps)
    fit = method.batch or min(draws_that_fit(prior, image, sigmas[0]), LARGEST_BATCH)
    if partial is not None:
        fit, seed = partial.setting("batch", fit), partial.setting("seed", seed) if seed is None else seed
    samples = sample(
        posterior, method.kernel, sigmas, n=n, shape=measurement.shape, seed=seed, like=image, batch=fit,
        partial=partial, progress=progress,
    )  # fmt: skip
    return Samples(samples.draws, samples.cost, {**samples.provenance, "intensity": intensity})


def initial_image(measurement: Measurement) -> Tensor:
    """Ridge-regularized least squares (1, *shape): ``(A^H A + c I)^-1 A^H y``, c a thousandth of A^H A's size.

    It fixes the intensity of the scan, not the image.  An operator that is not linear is linearized a few times, from
    an image of zeros on.
    """
    if measurement.operator.linear:
        return _least_squares(measurement)
    image = measurement.operator.blank(measurement.y)
    for _ in range(LINEARIZED):
        image = _least_squares(measurement.at(image))
    return image


def _least_squares(measurement: Measurement) -> Tensor:
    operator = measurement.operator
    back = operator.H(measurement.y)
    seen = operator(back)
    ridge = 1e-3 * inner(seen, seen) / inner(back, back).clamp(min=torch.finfo(torch.float32).tiny)
    damping = per_image(ridge, back)
    return conjugate_gradients(lambda x: operator.gram(x) + damping * x, back, tolerance=1e-3, iterations=30)


def _in_units_of(prior: Prior, image: Tensor, intensity: float) -> Prior:
    """The prior in the measurement's units and precision, and complex when the image is."""
    card, lifted = prior.card, isinstance(prior, Lift)
    precision = precision_of(prior)
    if card is not None:  # a closed form is in the user's units already
        prior = Scaled(prior, scale=intensity / card.amplitude)
        prior = IndependentParts(prior) if image.is_complex() and not lifted else prior
    if precision not in (None, image.real.dtype):
        prior = Cast(prior, precision)
    return prior
