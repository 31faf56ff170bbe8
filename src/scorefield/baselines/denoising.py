"""The interface of denoisers: from a measurement to its noisy image, and from a method to a function of images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement, as_measurement
from scorefield.noise import White
from scorefield.operators import Identity


def noisy_image(measurement: Measurement) -> tuple[Tensor, float]:
    """The measured image (C, *spatial) and the standard deviation of its noise.

    Args:
        measurement: an image with white noise; its operator is the identity.

    Raises:
        InputError: another operator or noise, or an image without a spatial axis.
    """
    measurement = as_measurement(measurement)
    noise = measurement.noise
    if not isinstance(measurement.operator, Identity) or not isinstance(noise, White):
        raise InputError(
            f"This method denoises images with white noise, got {measurement.operator} and {noise}; reconstruct first,"
            " or use total_variation, which takes any scan."
        )
    if len(measurement.shape) < 2:
        raise InputError(f"Images have the shape (C, *spatial), got {measurement.shape}; add a channel axis.")
    return measurement.y[0], noise.std


def positive(value: float, name: str) -> float:
    """``value`` itself, after a check that it is positive and finite.

    Args:
        value: the number.
        name: what it is, for the message.

    Raises:
        InputError: it is not positive and finite.
    """
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"The {name} must be a positive finite number, got {value}.")
    return value


def as_channels(image: Tensor) -> Tensor:
    """A real image itself; a complex image (C, *spatial) as 2 C real channels."""
    return torch.cat([image.real, image.imag]) if image.is_complex() else image


def from_channels(channels: Tensor, like: Tensor) -> Tensor:
    """The inverse of :func:`as_channels`."""
    return torch.complex(*channels.chunk(2)) if like.is_complex() else channels


def as_denoiser(method: Callable[[Measurement], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """Turn a method for one measurement into a denoiser of batches.

    Args:
        method: a function that denoises one measured image, such as ``wavelet_shrinkage``.

    Returns:
        A function of images (B, C, *spatial) and the standard deviation of their noise.
    """

    def denoise(x: Tensor, sigma: float) -> Tensor:
        whole = Identity(tuple(x.shape[1:]))
        return torch.stack([method(Measurement(one, whole, White(sigma))) for one in x])

    return denoise
