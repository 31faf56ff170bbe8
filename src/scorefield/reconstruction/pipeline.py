r"""The default reconstruction: from a prior and a measurement to posterior samples, with nothing to tune.

It makes these choices:

- *Intensity.*  A learned prior has units of its own and states their size (``prior.amplitude``).  The intensity of the
  scan is that of a ridge-regularized least-squares image (:mod:`scorefield.units`).  The prior is rescaled to it
  (:class:`scorefield.priors.Scaled`), so data and results stay in the units of the scan.
- *Complex images.*  If ``A^H y`` is complex and the prior is real, the real and the imaginary part are two images of
  the prior.
- *Levels.*  From twice the intensity, where the noise hides all but the measured part of the image, down to one per
  cent of the intensity, and a draw of what the last level leaves open (:class:`scorefield.kernels.FinalDraw`), so that
  the spread is right however precise the data are.  For a law in closed form from five times its width where that is
  more.
- *Weight.*  There is no weight of the likelihood to choose: it follows from the noise level and the spread of the
  image, which the posterior approximation knows.
- *Support.*  Where the maps of all coils are zero there is no object: the image is zero there, whatever the prior
  learned (:class:`scorefield.priors.Supported`), and the provenance says the share of pixels that are seen.
- *Batches.*  As many draws together as fit in memory, and at most eight.  The draws do not depend on it but for
  rounding: each has a stream of random numbers of its own.
- *Few data.*  Where the law is in closed form and the data are few numbers, particles take the place of all this
  (:func:`scorefield.reconstruction.method.default_method`).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from scorefield.arguments import of_kind
from scorefield.errors import rename_arguments
from scorefield.kernel import is_group
from scorefield.linalg.parts import per_image
from scorefield.linalg.solve import conjugate_gradients
from scorefield.measurement import Measurement, as_measurement
from scorefield.prior import Prior, as_prior
from scorefield.priors.algebra import IndependentParts, Lift
from scorefield.priors.cast import Cast, precision_of
from scorefield.priors.scaled import Scaled
from scorefield.priors.supported import Supported
from scorefield.randomness import PER_BATCH
from scorefield.reconstruction.memory import draws_that_fit
from scorefield.reconstruction.method import Method, default_method
from scorefield.runs.progress import Silent
from scorefield.samples.keep import Keep, R, check_keep
from scorefield.sampling import ALL, sample
from scorefield.schedules import Karras
from scorefield.units import intensity_of

LINEARIZATIONS = 5  # for the first image of an operator that is not linear
LARGEST_BATCH = 8  # larger ones are slower on a CPU


@rename_arguments(partial="keep")
def reconstruct(
    prior: Prior,
    measurement: Measurement,
    *,
    n: int = 19,
    method: Method | None = None,
    seed: int | None = None,
    keep: Keep[R] = ALL,  # pyright: ignore[reportArgumentType]  # without it R is Samples
    progress: Silent | None = None,
) -> R:
    """Draw posterior samples of the image behind ``measurement``.

    Args:
        prior: learned or closed form.
        measurement: data, operator and noise; or a scan.
        n: number of draws; the smallest and the largest of 19 are the bounds of their 90 % interval.
        method: how to sample; by default ``Method()``, and for a law in closed form what
            :func:`scorefield.reconstruction.method.default_method` chooses.  The default takes the linear data of
            counts and magnitudes, as it needs Gaussian noise; another method takes the measurement as it is.
        seed: fixes the draws.
        keep: what becomes of the draws, see :func:`scorefield.sampling.sample`; with
            :class:`~scorefield.samples.OnDisk` a sampling that was interrupted continues with its seed and batches.
        progress: shows how far the sampling is.

    Returns:
        ``n`` draws in the measurement's units, with their cost (of a scan 26 denoiser evaluations a draw by default)
        and their provenance.

    Raises:
        InputError: see :func:`scorefield.sampling.sample`; or an argument of another class.
    """
    check_keep(keep)
    prior, measurement = as_prior(prior), as_measurement(measurement)
    of_kind(method or Method(), Method, "a method", "give sf.Method(posterior, kernel)")
    image = initial_image(measurement)
    intensity = intensity_of(image) if bool(image.any()) else prior.extent
    precision = precision_of(prior)
    if method is None:
        measurement = measurement.linear_data
        learned = precision is not None or prior.amplitude is not None
        method = Method() if learned else default_method(prior, measurement, image, n, intensity)
    prior = _in_units_of(prior, image, intensity)
    prior = prior if precision in (None, image.real.dtype) else Cast(prior, precision)
    support = measurement.operator.support()
    prior = prior if support is None else Supported(prior, support)
    posterior = method.posterior(prior, measurement)
    schedule = Karras(method.sigma_min * intensity, method.sigma_max * intensity)
    sigmas = schedule.grid(method.steps)
    fit = method.batch or keep.batch or min(draws_that_fit(prior, image, sigmas[0]), LARGEST_BATCH)
    seed = keep.setting("seed", seed) if seed is None else seed
    keep = keep if method.batch is None else keep.with_rule(PER_BATCH)
    fit = keep.setting("batch", fit) if keep.rule is PER_BATCH or is_group(method.kernel) else fit
    samples = sample(
        posterior, method.kernel, sigmas, n=n, seed=seed, like=image[0], keep=keep.with_batch(fit, progress)
    )
    seen = 1.0 if support is None else float(support.double().mean())
    return replace(samples, provenance={**samples.provenance, "intensity": intensity, "seen": seen})


def initial_image(measurement: Measurement) -> Tensor:
    """Ridge-regularized least squares (1, *shape): ``(A^H A + c I)^-1 A^H y``, c a thousandth of A^H A's size.

    It fixes the intensity of the scan, not the image.  Counts and magnitudes are replaced by their linear data
    (:meth:`scorefield.noise.Noise.linear_data`).  An operator that is not linear is linearized a few times, first at an
    image of zeros.
    """
    measurement = measurement.linear_data
    if measurement.operator.linear:
        return _least_squares(measurement)
    image = measurement.operator.blank(measurement.y)
    for _ in range(LINEARIZATIONS):
        image = _least_squares(measurement.at(image))
    return image


def _least_squares(measurement: Measurement) -> Tensor:
    operator = measurement.operator
    back = operator.H(measurement.y)
    damping = per_image(1e-3 * measurement.gain.square(), back)
    return conjugate_gradients(lambda x: operator.gram(x) + damping * x, back, tolerance=1e-3, iterations=30)


def _in_units_of(prior: Prior, image: Tensor, intensity: float) -> Prior:
    """The prior in the measurement's units, and complex where the image is; a closed form is so already."""
    if prior.amplitude is None:
        return prior
    scaled = Scaled(prior, scale=intensity / prior.amplitude)
    return IndependentParts(scaled) if image.is_complex() and not isinstance(prior, Lift) else scaled
