r"""Plug and play: a denoiser takes the place of a prior, for any scan, in the alternating direction method (ADMM).

The most probable image under a prior minimizes :math:`\tfrac12 \|y - A x\|^2_{R^{-1}} - \log p(z)` with x = z.  ADMM
alternates between x and z, with a level s and the sum u of their differences:

.. math::
    x &= \arg\min_x \|y - A x\|^2_{R^{-1}} + s^{-2} \|x - (z - u)\|^2
       = (z - u) + s^2 A^H (R + s^2 A A^H)^{-1} (y - A (z - u)), \\
    z &= \arg\min_z \; \tfrac12 s^{-2} \|z - (x + u)\|^2 - \log p(z), \qquad u \leftarrow u + x - z.

The second step gives the most probable image, given :math:`x + u`, an image with white noise of level s.  Any denoiser
may replace it: :math:`z = D(x + u, s)`.  If D is the posterior mean of a Gaussian prior the two are equal, and the
iteration converges to the posterior mean for every s.  For other denoisers s determines how smooth the image is.  If
the data are the image itself with noise of level s, the result is :math:`D(y, s)`, because x = z = D(y, s) is a fixed
point with :math:`u = y - x`.

The levels begin large, as in DPIR, which removes artifacts of wide extent.  :math:`s^{-2} u` is the multiplier of the
constraint x = z and does not depend on the level, so u is multiplied by the square of the ratio of the levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scorefield.arguments import as_tensor
from scorefield.baselines.denoising import positive
from scorefield.baselines.fidelity import Fidelity
from scorefield.baselines.linear import zero_filled
from scorefield.baselines.tuning import Tuned, tune
from scorefield.errors import InputError
from scorefield.linalg.covariance import Isotropic
from scorefield.measurement import Measurement, as_measurement

LEVELS = (*(10 ** (1 - k / 8) for k in range(8)), 1.0, 1.0, 1.0, 1.0)  # down by a decade, then constant
COARSE = tuple(10 ** (k / 2) for k in range(-1, 4))  # two a decade, in units of the noise of a pixel
EXTENSIONS = 6  # values that may be added to the grid while the best is at its edge


@torch.no_grad()
def plug_and_play(
    measurement: Measurement,
    denoise: Callable[[Tensor, float], Tensor],
    sigma: float,
    *,
    levels: Sequence[float] = LEVELS,
) -> Tensor:
    """Reconstruct an image with a denoiser as the prior, by plug-and-play ADMM.

    Args:
        measurement: any scan.
        denoise: a function of images (B, C, *spatial) and the standard deviation of their noise per real component,
            such as ``BM3D()``, ``prior.denoise`` or ``as_denoiser(non_local_means)``.
        sigma: the last level s, in the image's unit; larger is smoother.
        levels: the level of each iteration, in units of ``sigma``.

    Returns:
        One image, shaped like ``measurement.shape``: the last output of the denoiser.

    Raises:
        InputError: no levels, or a level that is not positive and finite.

    References:
        Venkatakrishnan, Bouman, Wohlberg, "Plug-and-play priors for model based reconstruction", GlobalSIP 2013;
        Zhang et al., "Plug-and-play image restoration with deep denoiser prior" (DPIR), TPAMI 2021, arXiv 2008.13751.
    """
    if len(levels) == 0:
        raise InputError("Plug and play needs at least one level, in units of sigma.")
    stds = [positive(sigma * level, "level of plug and play") for level in levels]
    measurement = as_measurement(measurement).linear_data
    z, previous = zero_filled(measurement)[None], stds[0]
    u = torch.zeros_like(z)
    for std in stds:
        u = u * (std / previous) ** 2
        start = z - u
        x = start + std**2 * measurement.innovation(start, Isotropic(std**2))
        z = denoise(x + u, std)
        u, previous = u + x - z, std
    return z[0]


def tuned_plug_and_play(
    measurement: Measurement,
    truth: Tensor,
    denoise: Callable[[Tensor, float], Tensor],
    *,
    levels: Sequence[float] = LEVELS,
) -> Tuned:
    """Plug and play with the last level of highest PSNR, by a grid around the noise level of a pixel and a search.

    Args:
        measurement: any scan.
        truth: the true image (C, *spatial); used for the choice of the level only.
        denoise: as in :func:`plug_and_play`.
        levels: the level of each iteration, in units of the last.

    Returns:
        The best image, its level and its PSNR.

    Raises:
        InputError: a truth of another shape than the images of the scan.
    """
    measurement, truth = as_measurement(measurement), as_tensor(truth, "truth")
    if tuple(truth.shape) != measurement.shape:
        raise InputError(f"The truth has shape {tuple(truth.shape)} but the scan's images {measurement.shape}.")

    def reconstruct(sigma: float) -> Tensor:
        return plug_and_play(measurement, denoise, sigma, levels=levels)

    fidelity = Fidelity(measurement)
    # the noise of a pixel if all others were known: the mean of A^H R^-1 A is that of (A^H R^-1 n)^2
    scale = fidelity.variance / fidelity.noise_in_image() * math.sqrt(2 if fidelity.rhs.is_complex() else 1)
    return tune(reconstruct, truth, [scale * factor for factor in COARSE], extensions=EXTENSIONS)
