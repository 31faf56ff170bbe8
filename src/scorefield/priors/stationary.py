r"""Stationary Gaussian images: a covariance that is a circular convolution, diagonal in the Fourier basis.

.. math::
    C = F^H \, \mathrm{diag}(S) \, F, \qquad J = F^H \, \mathrm{diag}\!\left(\frac{S}{S + \sigma^2}\right) F,

with F the orthonormal FFT and S the power spectrum: the denoiser is the Wiener filter.

References:
    Wiener, "Extrapolation, Interpolation, and Smoothing of Stationary Time Series", 1949.
    Galerne, Gousseau, Morel, "Random phase textures", IEEE TIP 2011 (fitting one image).
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.basic import finite
from scorefield.priors.normal import Diagonalized


class StationaryGaussian(Diagonalized):
    """A Gaussian whose covariance does not change under circular shifts of the image.

    Args:
        mean: one image (C, *spatial), real or complex.
        spectrum: variance of each orthonormal Fourier coefficient, per real component, >= 0, zero frequency
            in the center (index n // 2), shaped (C, *spatial) or (*spatial).  For a real mean it is
            symmetric, S(-k) = S(k).

    Raises:
        InputError: NaN or infinite values, a wrong shape, a negative variance, or an asymmetric spectrum.
    """

    spectrum: Tensor
    power: Tensor

    def __init__(self, mean: Tensor, spectrum: Tensor):
        super().__init__(mean)
        if self.mean.ndim < 2:
            raise InputError(f"A stationary image is (C, *spatial), got a mean of shape {self.event_shape}.")
        spectrum = torch.as_tensor(spectrum)
        if spectrum.is_complex():
            raise InputError("The spectrum is complex; it holds variances, so pass abs(coefficients)**2.")
        spectrum = finite(spectrum, "entries of the spectrum").to(self.mean.real)
        if tuple(spectrum.shape) not in (self.event_shape, self.event_shape[1:]):
            raise InputError(
                f"A mean of shape {self.event_shape} needs a spectrum of shape {self.event_shape} or"
                f" {self.event_shape[1:]}, got {tuple(spectrum.shape)}."
            )
        if bool((spectrum < 0).any()):
            raise InputError(f"A spectrum is >= 0, got {spectrum.min().item():g}; pass variances, not coefficients.")
        self._axes = tuple(range(1 - self.mean.ndim, 0))
        power = torch.fft.ifftshift(spectrum, dim=self._axes)
        mirrored = torch.roll(power.flip(self._axes), [1] * len(self._axes), self._axes)
        if not self.mean.is_complex() and not torch.allclose(power, mirrored, rtol=1e-4, atol=0):
            raise InputError(
                "The spectrum of real images is symmetric about its center; average it with its mirror image,"
                " and check that the zero frequency is at index n // 2."
            )
        self.register_buffer("spectrum", spectrum)
        self.register_buffer("power", power)

    @classmethod
    def fit(cls, images: Tensor) -> StationaryGaussian:
        """The law with the images' mean per channel and their averaged periodogram.

        Args:
            images: (T, C, *spatial), T >= 2, real or complex.

        Raises:
            InputError: fewer than two images.
        """
        if images.ndim < 3 or len(images) < 2:
            raise InputError(f"Fitting needs at least two images (T, C, *spatial), got shape {tuple(images.shape)}.")
        axes = tuple(range(2, images.ndim))
        mean = images.mean((0, *axes), keepdim=True)
        modes = torch.fft.fftn(images - mean, dim=axes, norm="ortho")
        components = 2 if images.is_complex() else 1
        # the mean costs one degree of freedom, and only at the zero frequency
        power = modes.abs().square().sum(0) / (components * len(images))
        corner = (slice(None), *[0] * len(axes))
        power[corner] = power[corner] * len(images) / (len(images) - 1)
        return cls(
            mean[0].expand(images.shape[1:]).clone(),
            torch.fft.fftshift(power, dim=tuple(range(1, power.ndim))),
        )

    @property
    def variances(self) -> Tensor:
        return self.power

    def _analyze(self, v: Tensor) -> Tensor:
        return torch.fft.fftn(v, dim=self._axes, norm="ortho")

    def _synthesize(self, modes: Tensor) -> Tensor:
        v = torch.fft.ifftn(modes, dim=self._axes, norm="ortho")
        return v if self.mean.is_complex() else v.real
