r"""Plug and play: a denoiser in the place of a prior, for any scan, by alternating directions.

The most probable image under a prior, :math:`\min_x \tfrac12 \|y - A x\|^2_{R^{-1}} - \log p(z)` with x = z, is found
by turns, with a level s and the running sum u of what the two disagree about:

.. math::
    x &= \arg\min_x \|y - A x\|^2_{R^{-1}} + s^{-2} \|x - (z - u)\|^2
       = (z - u) + s^2 A^H (R + s^2 A A^H)^{-1} (y - A (z - u)), \\
    z &= \arg\min_z \; \tfrac12 s^{-2} \|z - (x + u)\|^2 - \log p(z), \qquad u \leftarrow u + x - z.

The second step is the most probable image behind :math:`x + u`, seen with white noise of level s; any denoiser may
take its place: :math:`z = D(x + u, s)`.  Where D is the posterior mean of a Gaussian prior, the two are one, and the
iteration converges to the posterior mean at every s.  For other denoisers s decides how smooth the image is.  With an
image itself for data and s its noise, what comes out is :math:`D(y, s)`: then x = z = D(y, s) and u = y - x stay.

Large levels first, as in DPIR, take away the artifacts of wide extent.  :math:`s^{-2} u` is the multiplier of x = z
and does not change with the level, and so u is multiplied by the square of the levels' ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scorefield.baselines.denoising import positive
from scorefield.baselines.fidelity import Fidelity
from scorefield.baselines.linear import zero_filled
from scorefield.baselines.tuning import Tuned, tune
from scorefield.errors import InputError
from scorefield.linalg.covariance import Isotropic
from scorefield.measurement import Measurement

LEVELS = (*(10 ** (1 - k / 8) for k in range(8)), 1.0, 1.0, 1.0, 1.0)  # a decade down, then held
COARSE = tuple(10 ** (k / 2) for k in range(-1, 4))  # two a decade, in units of the noise that reaches a pixel
EXTENSIONS = 6  # values the grid may grow by when the best is at its edge


@torch.no_grad()
def plug_and_play(
    measurement: Measurement,
    denoise: Callable[[Tensor, float], Tensor],
    sigma: float,
    *,
    levels: Sequence[float] = LEVELS,
) -> Tensor:
    """The image on which data and denoiser agree, by plug-and-play ADMM.

    Args:
        measurement: any scan with Gaussian noise.
        denoise: images (B, C, *spatial), as the operator takes them, and the standard deviation of their noise in each
            real component, to denoised images: ``BM3D()``, ``prior.denoise``, ``as_denoiser(non_local_means)``.
        sigma: the last level s, in the image's unit; larger is smoother.
        levels: the level of each iteration, in units of ``sigma``.

    Returns:
        One image, shaped like ``measurement.shape``: the denoiser's last.

    Raises:
        InputError: no levels, or a level that is not positive and finite.

    References:
        Venkatakrishnan, Bouman, Wohlberg, "Plug-and-play priors for model based reconstruction", GlobalSIP 2013;
        Zhang et al., "Plug-and-play image restoration with deep denoiser prior" (DPIR), TPAMI 2021, arXiv 2008.13751.
    """
    if len(levels) == 0:
        raise InputError("Plug and play needs at least one level, in units of sigma.")
    stds = [positive(sigma * level, "level of plug and play") for level in levels]
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
    """Plug and play with the last level of highest PSNR: a grid around the noise's level in the image, then a search.

    Args:
        measurement: any scan with Gaussian noise.
        truth: the true image (C, *spatial); used for the choice of the level only.
        denoise: as in :func:`plug_and_play`.
        levels: the level of each iteration, in units of the last.

    Raises:
        InputError: a truth shaped unlike the scan's images.
    """
    if tuple(truth.shape) != measurement.shape:
        raise InputError(f"The truth has shape {tuple(truth.shape)} but the scan's images {measurement.shape}.")

    def reconstruct(sigma: float) -> Tensor:
        return plug_and_play(measurement, denoise, sigma, levels=levels)

    fidelity = Fidelity(measurement)
    # the level of a pixel's noise if all others were known: the mean of A^H R^-1 A is that of (A^H R^-1 n)^2
    scale = fidelity.variance / fidelity.noise_in_image() * math.sqrt(2 if fidelity.rhs.is_complex() else 1)
    return tune(reconstruct, truth, [scale * factor for factor in COARSE], extensions=EXTENSIONS)
