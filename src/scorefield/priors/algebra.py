r"""Priors on complex images, made of priors on real ones.

A complex image is two real ones; that is an isometry for the inner product :math:`\mathrm{Re}\langle a, b\rangle`,
and sigma is per real component, so scores, denoisers and Jacobians stay the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.lessons.lesson import Lesson
from scorefield.measurement import Measurement
from scorefield.operators.linear import Operator, Shape
from scorefield.prior import Prior, Vjp, level

if TYPE_CHECKING:
    from typing import Self


class Lift(Prior):
    """A prior on complex images made of a prior on real ones, which is called once, on all parts together.

    Args:
        prior: over real images.
    """

    copies: int  # real images per complex image

    def __init__(self, prior: Prior):
        super().__init__()
        self.prior = prior

    @abstractmethod
    def _split(self, x: Tensor) -> Tensor:
        """The real images of complex ones."""

    @abstractmethod
    def _join(self, parts: Tensor) -> Tensor:
        """The inverse of ``_split``."""

    @property
    def extent(self) -> float:
        return self.amplitude or self.prior.extent

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self._join(self.prior.denoise(self._parts(x), self._levels(sigma, x)))

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self._join(self.prior.score(self._parts(x), self._levels(sigma, x)))

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        """The denoised images and ``v -> J^T v``, the adjoint for the real inner product ``Re <a, b>``."""
        denoised, vjp = self.prior.linearize(self._parts(x), self._levels(sigma, x))
        return self._join(denoised), lambda v: self._join(vjp(self._split(v)))

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma(x)``: (B,).

        Raises:
            InputError: the prior has no log-density.
        """
        parts = self.prior.log_prob(self._parts(x), self._levels(sigma, x))
        return parts.reshape(self.copies, len(x)).sum(0)

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent draws (n, *event_shape).

        Raises:
            InputError: the prior has no exact draws.
        """
        return self._join(self.prior.rsample(self.copies * n, generator))

    def draw(self, generator: torch.Generator | None = None) -> Lift:
        drawn = self.prior.draw(generator)
        return self if drawn is self.prior else type(self)(drawn)

    def lesson(self) -> Lesson[Self]:
        """The lesson of the real prior, on complex crops."""
        inner = self.prior.lesson()

        def finish(images: Sequence[Tensor], generator: torch.Generator) -> None:
            inner.finish([part for image in images for part in self._split(image[None])], generator)

        return Lesson(self, type(self)(inner.trainee), inner.cut, inner.objective, finish)

    def _parts(self, x: Tensor) -> Tensor:
        if not x.is_complex():
            raise InputError(f"{type(self).__name__} is a prior over complex images, got {x.dtype}; pass x + 0j.")
        return self._split(x)

    def _levels(self, sigma: Tensor | float, x: Tensor) -> Tensor:
        levels = level(sigma, x).flatten()
        return levels[0] if len(levels) == 1 else levels.repeat(self.copies)


class AsComplex(Lift):
    """Two real channels read as one complex one: (B, 2 C, *spatial), real parts first, to (B, C, *spatial).

    Args:
        prior: over real images with an even number of channels.

    Raises:
        InputError: the prior's number of channels is odd.
    """

    copies = 1

    def __init__(self, prior: Prior):
        super().__init__(prior)
        if prior.event_shape is not None:
            channels, *spatial = prior.event_shape
            if channels % 2:
                raise InputError(
                    f"A complex channel takes two real ones, the prior has {channels}; use IndependentParts."
                )
            self.event_shape = (channels // 2, *spatial)

    def posterior(self, measurement: Measurement) -> AsComplex:
        """The exact posterior: the prior's own, for the same data and an operator on its real channels.

        Raises:
            InputError: the prior has no exact posterior.
        """
        lifted = measurement.operator @ _Channels(measurement.shape)
        inner = Measurement(measurement.y, lifted, measurement.noise)
        return AsComplex(self.prior.posterior(inner))

    def _split(self, x: Tensor) -> Tensor:
        return torch.cat([x.real, x.imag], dim=1)

    def _join(self, parts: Tensor) -> Tensor:
        return torch.complex(*parts.chunk(2, dim=1))


class _Channels(Operator):
    """Real images (2 C, *spatial) to complex images (C, *spatial)."""

    def __init__(self, shape: Shape):
        super().__init__((2 * shape[0], *shape[1:]), shape)

    def _apply(self, x: Tensor) -> Tensor:
        return torch.complex(*x.chunk(2, dim=1))

    def _adjoint(self, y: Tensor) -> Tensor:
        return torch.cat([y.real, y.imag], dim=1)


class IndependentParts(Lift):
    """Complex images whose real and imaginary parts are independent draws of a prior on real images.

    It has no exact posterior of its own: data tie the two parts together.

    Args:
        prior: over real images, of the same shape as the complex ones.
    """

    copies = 2

    def __init__(self, prior: Prior):
        super().__init__(prior)
        self.event_shape = prior.event_shape

    def _split(self, x: Tensor) -> Tensor:
        return torch.cat([x.real, x.imag], dim=0)

    def _join(self, parts: Tensor) -> Tensor:
        return torch.complex(*parts.chunk(2, dim=0))
