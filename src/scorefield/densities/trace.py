r"""The trace of a Jacobian J: exactly, or from products with random probes.

A vector-Jacobian product gives :math:`J^T v`.  The sum over all unit vectors e of :math:`e^T J e` is the trace.  A
random probe v with :math:`E\,v v^T = I` gives an unbiased estimate from one product,
:math:`E\,v^T J v = \mathrm{tr}\,J`.  For a symmetric J with d rows its variance is

.. math::
    2 \|J\|_F^2 - 2 \sum_i J_{ii}^2 \ \text{(signs)}, \qquad
    2 \|J\|_F^2 \ \text{(normal)}, \qquad
    \frac{2 d}{d + 2} \Bigl(\|J\|_F^2 - \frac{(\mathrm{tr}\,J)^2}{d}\Bigr) \ \text{(sphere)}.

The *unit* sphere has :math:`E\,v v^T = I/d`: an objective that adds a term without v to :math:`v^T J v` is then wrong
by a factor d.  A complex image of N pixels has d = 2N real components, and its probe v is complex with independent
parts.

References:
    Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines",
    Communications in Statistics 1989; Song, Garg, Shi, Ermon, UAI 2019, arXiv 1905.07088.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import as_rows, per_image, squared_norm
from scorefield.linalg.solve import inner
from scorefield.prior import Vjp
from scorefield.randomness import normal_like


class Directions(ABC):
    """A law of random directions whose second moment is the identity."""

    @abstractmethod
    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One direction for each image of ``x`` (B, ...), with the shape and dtype of ``x``.

        Args:
            x: images or vectors (B, ...), real or complex; only their shape, dtype and device matter.
            generator: source of the random numbers; by default the global one of torch.
        """


@dataclass(frozen=True)
class Rademacher(Directions):
    """Independent fair signs: the diagonal of J adds no variance."""

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if x.is_complex():
            return torch.view_as_complex(self.draw(torch.view_as_real(x.resolve_conj()), generator))
        coins = torch.empty_like(x, memory_format=torch.contiguous_format).bernoulli_(0.5, generator=generator)
        return 2 * coins - 1


@dataclass(frozen=True)
class StandardNormal(Directions):
    """Independent standard normal numbers.  ``sf.objectives.Normal`` is another name of this class."""

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return normal_like(x, generator)


@dataclass(frozen=True)
class Sphere(Directions):
    r"""The uniform law on the sphere of radius :math:`\sqrt d`, with d the number of real components of an image."""

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        v = normal_like(x, generator)
        return v * per_image((as_rows(v).shape[1] / squared_norm(v)).sqrt(), v)


class Trace(ABC):
    """A way to compute ``tr J`` from vector-Jacobian products: draw the probes once, evaluate any number of times.

    Drawing and evaluating are apart, so that the same probes serve a whole trajectory or a deterministic optimizer.
    """

    @abstractmethod
    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """The random probes for images shaped like ``x`` (B, ...), each with the shape and dtype of ``x``.

        Args:
            x: images or vectors (B, ...), real or complex.
            generator: source of the random numbers; by default the global one of torch.
        """

    @abstractmethod
    def of(self, vjp: Vjp, x: Tensor, *probes: Tensor) -> Tensor:
        """The trace of the Jacobian at each image: (B,).

        Args:
            vjp: the map ``v -> J^T v`` at ``x``, for v shaped like ``x``.
            x: the images (B, ...).
            probes: what ``draw`` returned.
        """


def jacobian_diagonal(vjp: Vjp, x: Tensor) -> Tensor:
    """The diagonal of the Jacobian: (B, d) for images of d real components, at the cost of d products.

    Args:
        vjp: the map ``v -> J^T v`` at ``x``.
        x: the images (B, ...), real or complex.
    """
    entries = []
    for i in range(as_rows(x).shape[1]):
        unit = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
        as_rows(unit)[:, i] = 1  # a view: the zeros are contiguous
        entries.append(as_rows(vjp(unit))[:, i].clone())  # a copy: the view would keep the whole product in memory
    return torch.stack(entries, 1)


@dataclass(frozen=True)
class ExactTrace(Trace):
    """The sum of the diagonal, component by component; it draws nothing.

    An image of d real components costs d backward passes.  Under a gradient the graphs of all of them are stored, so
    this is for vectors and small patches.
    """

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        return ()

    def of(self, vjp: Vjp, x: Tensor, *probes: Tensor) -> Tensor:
        return jacobian_diagonal(vjp, x).sum(1)


@dataclass(frozen=True)
class Hutchinson(Trace):
    r"""The mean of :math:`v^T J v` over a few random probes v; unbiased, one backward pass a probe.

    Args:
        directions: the law of v.
        probes: number of probes, whose results are averaged; 1 is published.

    Raises:
        InputError: less than one probe.

    References:
        Hutchinson, Communications in Statistics 1989.
    """

    directions: Directions = field(default_factory=Rademacher)
    probes: int = 1

    def __post_init__(self) -> None:
        if self.probes < 1:
            raise InputError(f"Hutchinson needs probes >= 1, got {self.probes}.")

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        return tuple(self.directions.draw(x, generator) for _ in range(self.probes))

    def of(self, vjp: Vjp, x: Tensor, *probes: Tensor) -> Tensor:
        return torch.stack([inner(v, vjp(v)) for v in probes]).mean(0)
