"""Laws of data that are not their noiseless values plus Gaussian noise."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise.base import Noise


class NonGaussian(Noise):
    """A likelihood known by its log-density and its score; there is no covariance R, and nothing to whiten."""

    @property
    def variance(self) -> Tensor:
        """None: the spread of the data depends on the image.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"{type(self).__name__} data have no fixed noise variance, which this method needs; take one that asks for"
            " the likelihood's score alone, such as kernels.SplitGibbs(measurement, likelihood=kernels.MarkovChain())."
        )

    @abstractmethod
    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor: ...

    @abstractmethod
    def score(self, y: Tensor, mean: Tensor) -> Tensor: ...

    @abstractmethod
    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor: ...


def check_data(y: Tensor, mean: Tensor) -> None:
    """Refuse data that no law of counts or magnitudes gives.

    Raises:
        InputError: complex data or predictions where they are to be real, or data below 0.
    """
    if y.is_complex() or mean.is_complex() or bool((y < 0).any()):
        raise InputError("Counts are real and >= 0, and so is what predicts them; check the data and the operator.")


def level(value: Tensor | float, name: str) -> Tensor:
    """``value`` as a tensor of numbers >= 0.

    Raises:
        InputError: negative, NaN or infinite values.
    """
    value = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
    if not bool(((value >= 0) & value.isfinite()).all()):
        raise InputError(f"The {name} must be finite numbers >= 0, in counts.")
    return value
