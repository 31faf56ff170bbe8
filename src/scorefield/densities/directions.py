r"""Random directions v with :math:`E\,v v^T = I`, which turn a trace into one product: :math:`E\,v^T J v = tr J`.

For a symmetric J with d rows the variance of :math:`v^T J v` is

.. math::
    2 \|J\|_F^2 - 2 \sum_i J_{ii}^2 \ \text{(signs)}, \qquad
    2 \|J\|_F^2 \ \text{(normal)}, \qquad
    \frac{2 d}{d + 2} \Bigl(\|J\|_F^2 - \frac{(tr J)^2}{d}\Bigr) \ \text{(sphere)}.

The *unit* sphere has :math:`E\,v v^T = I/d`: whatever mixes :math:`v^T J v` with a term that has no v in it is then
wrong by a factor d.  Complex images have d = 2N real components, and v is complex with independent parts.

References:
    Hutchinson, Communications in Statistics 1990; Song, Garg, Shi, Ermon, UAI 2019, arXiv 1905.07088.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.linalg.parts import as_rows, per_image, squared
from scorefield.randomness import normal_like


class Directions(ABC):
    """A law of random directions whose second moment is the identity."""

    @abstractmethod
    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One direction for each image, shaped like ``x`` (B, ...)."""


@dataclass(frozen=True)
class Rademacher(Directions):
    """Independent fair signs: no variance from the diagonal of J."""

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if x.is_complex():
            return torch.view_as_complex(self.draw(torch.view_as_real(x.resolve_conj()), generator))
        coins = torch.empty_like(x, memory_format=torch.contiguous_format).bernoulli_(0.5, generator=generator)
        return 2 * coins - 1


@dataclass(frozen=True)
class Normal(Directions):
    """Independent standard normal numbers."""

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return normal_like(x, generator)


@dataclass(frozen=True)
class Sphere(Directions):
    r"""Uniform on the sphere of radius :math:`\sqrt d`, d the number of real components of an image."""

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        v = normal_like(x, generator)
        return v * per_image((as_rows(v).shape[1] / squared(v)).sqrt(), v)
