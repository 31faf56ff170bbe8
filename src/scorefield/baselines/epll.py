r"""Expected patch log-likelihood (EPLL): the image with the most probable patches, by half-quadratic splitting.

.. math:: \min_x\; \tfrac12 \|y - A x\|^2_{R^{-1}} - \sum_c \log p(G_c x)

has an auxiliary patch :math:`z_c` for each :math:`G_c x`, with the penalty :math:`\tfrac\beta2 \|z_c - G_c x\|^2` and
increasing :math:`\beta`.  For a Gaussian mixture the best :math:`z_c` is nearly the Wiener estimate of the most
probable component at noise :math:`\sigma = \beta^{-1/2}`.  This is the patch denoiser :math:`v + \sigma F(v, \sigma)`
of :class:`scorefield.nets.PatchMixture` with ``hard=True``.  The best image is then

.. math:: x = \arg\min_u \|y - A u\|^2_{R^{-1}} + \beta \|u - \bar z\|^2
    = \bar z + \beta^{-1} A^H (R + \beta^{-1} A A^H)^{-1} (y - A \bar z),

with the mean :math:`\bar z` of the patches at each pixel.  As in public implementations, the weight of the data is
relative to one patch and not to all patches of a pixel.

References:
    Zoran & Weiss, "From learning models of natural image patches to whole image restoration", ICCV 2011;
    Geman & Yang, "Nonlinear image recovery with half-quadratic regularization", IEEE TIP 1995.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.linalg.covariance import Isotropic
from scorefield.measurement import Measurement, as_measurement
from scorefield.nets.overlaps import Overlaps, chunk_for

BETAS = (1.0, 4.0, 8.0, 16.0, 32.0)  # of the paper, in units of the precision of the noise


@torch.no_grad()
def epll(measurement: Measurement, net: nn.Module, *, betas: Sequence[float] = BETAS, stride: int = 1) -> Tensor:
    """Reconstruct an image with a patch prior by half-quadratic splitting, one step for each beta.

    Args:
        measurement: the scan, of real images (C, H, W).
        net: unitless patch score with ``size`` and ``channels``; the published one is
            ``OffsetInvariant(PatchMixture(hard=True))``.
        betas: weights of the penalty, positive, in units of the mean precision of the noise.
        stride: pixels between neighboring patches.

    Returns:
        One image, shaped like ``measurement.shape``.

    Raises:
        InputError: no betas, or one that is not positive; images of other channels than the patches.

    References:
        Zoran & Weiss, ICCV 2011; Geman & Yang, IEEE TIP 1995 (half-quadratic splitting).
    """
    measurement = as_measurement(measurement).linear_data
    if not betas or not min(betas) > 0:
        raise InputError("EPLL needs positive betas, in units of the precision of the noise.")
    if measurement.shape[:1] != (net.channels,) or len(measurement.shape) != 3:
        raise InputError(f"EPLL with this patch network takes images ({net.channels}, H, W), got {measurement.shape}.")
    precision = float(measurement.gaussian.precision)
    x = measurement.operator.H(measurement.y)
    for beta in betas:
        variance = 1 / (beta * precision)
        mean = _mean_of_patches(net, x, variance**0.5, stride)
        x = mean + variance * measurement.innovation(mean, Isotropic(x.new_tensor(variance)))
    return x[0]


def _mean_of_patches(net: nn.Module, x: Tensor, sigma: float, stride: int) -> Tensor:
    """Denoise all patches of ``x`` and take the mean of the patches at each pixel."""
    overlaps = Overlaps(int(net.size), stride)  # pyright: ignore[reportArgumentType]
    noise = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device).log() / 4
    score = overlaps.map(x, lambda patches, image: net(patches, noise[image]), chunk_for(x))
    votes = overlaps.map(torch.ones_like(x), lambda patches, image: patches, chunk_for(x))
    return x + sigma * score / votes
