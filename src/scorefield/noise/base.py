r"""The law of data given what they would be without noise: :math:`p(y \mid m)`.

Convention: a standard deviation is that of *each real component*.  Complex noise of level ``std`` therefore has
variance :math:`E|n|^2 = 2\,\mathrm{std}^2`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.portable import Portable

if TYPE_CHECKING:
    from scorefield.noise.gaussian import Gaussian


class Noise(Portable, ABC):
    """A law of data: a log-density, its score, and draws."""

    @abstractmethod
    def log_likelihood(self, y: Tensor, mean: Tensor) -> Tensor:
        """``log p(y | mean)`` of data y (1 or B, *data) whose noiseless values are ``mean`` (B, *data): (B,)."""

    @abstractmethod
    def score(self, y: Tensor, mean: Tensor) -> Tensor:
        """The gradient of ``log_likelihood`` with respect to ``mean``, shaped like it."""

    def part(self, axis: int, index: Tensor, shape: tuple[int, ...]) -> Noise:
        """The law of a part of the data: the entries ``index`` along ``axis``.

        A law that is the same along every axis that is cut returns itself; one with a number for each datum overrides
        this method.

        Args:
            axis: of the data without their batch.
            index: (k,), whole numbers.
            shape: of the whole data without their batch.
        """
        del axis, index, shape
        return self

    @abstractmethod
    def corrupt(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Data drawn given their noiseless values ``mean`` (B, *data)."""

    def linear_data(self, y: Tensor) -> tuple[Tensor, Gaussian]:
        """Numbers that are the noiseless values plus Gaussian noise, as nearly as the data ``y`` (1, *data) allow.

        Returns:
            The numbers, shaped like y, and the law of their noise.

        Raises:
            InputError: data that the law does not give, or a law that knows no such numbers.
        """
        raise InputError(
            f"{type(self).__name__} does not say which numbers of its data are linear in the image; give the scan a law"
            " of scorefield.noise, or write the method linear_data."
        )

    def standardize(self, y: Tensor, mean: Tensor) -> Tensor:
        """``(y - E y) / std`` of data whose noiseless values are ``mean`` (B, *data): mean 0 and variance 1.

        Raises:
            InputError: data that the law does not give, or a law that knows no mean and variance.
        """
        raise InputError(
            f"{type(self).__name__} does not say what mean and variance its data have; give the scan a law of"
            " scorefield.noise, or write the method standardize."
        )


def part_of(values: Tensor, axis: int, index: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The entries ``index`` along ``axis`` of numbers that broadcast to data of ``shape``."""
    own = axis - len(shape) + values.ndim
    return values if own < 0 or values.shape[own] == 1 else values.index_select(own, index.to(values.device))
