"""Gaussian noise that is independent from datum to datum: R is diagonal."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from scorefield.linalg.parts import per_image
from scorefield.noise.gaussian import Gaussian


class Independent(Gaussian):
    """Gaussian noise with a variance for each datum; a subclass says which."""

    @property
    @abstractmethod
    def variance(self) -> Tensor:
        """Variance per real component, broadcastable to the data; positive."""

    @property
    def precision(self) -> Tensor:
        return (1 / self.variance).mean()

    def whiten(self, residual: Tensor) -> Tensor:
        return residual / self._variance(residual).to(residual.real.dtype).sqrt()

    def color(self, white: Tensor) -> Tensor:
        return self._variance(white).sqrt() * white

    def solve(self, residual: Tensor, shift: Tensor | float = 0.0) -> Tensor:
        return residual / (self._variance(residual) + per_image(shift, residual))

    def log_det(self, like: Tensor) -> Tensor:
        return self._variance(like).log().mean() * like[0].numel()

    def _variance(self, like: Tensor) -> Tensor:
        variance = self.variance  # a number never promotes the data; a map would
        return variance.to(like.device, like.real.dtype) if variance.ndim else variance
