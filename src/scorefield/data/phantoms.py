r"""Phantoms: random disks and rectangles with partial volume at their edges.

A shape covers part of each pixel; the pixel's value is that part,

.. math:: c_{ij} = \frac1{m^2} \sum_{k, l = 1}^{m} \mathbf 1\{\text{point } (k, l) \text{ of pixel } (i, j)
    \text{ is inside}\},

at m x m points in a regular grid.  A point is wrong only where the outline passes its cell, so the area of a shape is
met to :math:`\text{perimeter} / (\sqrt 2\, m)`, and far better on average.  Lengths are in pixels; pixel (i, j) is the
square :math:`[i, i + 1] \times [j, j + 1]`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError

POINTS = 1 << 23  # points at a time: some tens of MB


@dataclass(frozen=True)
class Phantom(ABC):
    """A law of images (1, size, size) in which one shape covers each pixel by a part between 0 and 1.

    Args:
        size: side of the image, in pixels.
        samples: m, the points along one side of a pixel.
    """

    size: int = 64
    samples: int = 4

    def __post_init__(self) -> None:
        if self.size < 1 or self.samples < 1:
            raise InputError(f"A phantom needs size and samples >= 1, got {self.size} and {self.samples}.")

    @abstractmethod
    def parameters(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` random shapes (n, k), double precision."""

    @abstractmethod
    def inside(self, parameters: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Whether points are inside the shapes (n, k, 1, 1): (n, points, points).

        Args:
            rows: of the points (points, 1), in pixels.
            columns: of the points (points,), in pixels.
        """

    def render(self, parameters: Tensor) -> Tensor:
        """The images (n, 1, size, size) of given shapes (n, k)."""
        fine = self.size * self.samples
        points = (torch.arange(fine, dtype=torch.float64, device=parameters.device) + 0.5) / self.samples
        parts = []
        for part in parameters.split(max(1, POINTS // fine**2)):
            inside = self.inside(part.unflatten(1, (-1, 1, 1)), points.unsqueeze(1), points)
            blocks = inside.float().reshape(len(part), 1, self.size, self.samples, self.size, self.samples)
            parts.append(blocks.mean((3, 5)))
        return torch.cat(parts)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` images (n, 1, size, size), single precision; the same ones whatever their number of points.

        Raises:
            InputError: n is below 1.
        """
        if n < 1:
            raise InputError(f"Drawing needs n >= 1 phantoms, got {n}.")
        return self.render(self.parameters(n, generator))


@dataclass(frozen=True)
class Disks(Phantom):
    """One disk on an empty ground, all of it inside the image: parameters (row, column, radius).

    The radius is uniform, then the center uniform where the disk fits.

    Args:
        radius: smallest and largest, as fractions of ``size``; at most one half.
    """

    radius: tuple[float, float] = (0.15, 0.35)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_range("radius", self.radius, 0.5)

    def parameters(self, n: int, generator: torch.Generator) -> Tensor:
        coins = _coins(n, 3, generator)
        radius = self.size * _uniform(coins[:, :1], self.radius)
        return torch.cat([radius + (self.size - 2 * radius) * coins[:, 1:], radius], 1)

    def inside(self, parameters: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        row, column, radius = parameters.unbind(1)
        return (rows - row).square() + (columns - column).square() < radius.square()


@dataclass(frozen=True)
class Rectangles(Phantom):
    """One rectangle, turned by any angle: parameters (row, column, height, width, angle).

    Height and width are uniform and independent, so is the center over the middle of the image; a corner may leave it.

    Args:
        side: smallest and largest height and width, as fractions of ``size``.
        spread: side of the square around the middle in which the center lies, as a fraction of ``size``.
    """

    side: tuple[float, float] = (0.25, 0.6)
    spread: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_range("side", self.side, math.inf)
        if not 0 <= self.spread <= 1:
            raise InputError(f"The spread of the centers is a fraction of the image, 0 to 1, got {self.spread:g}.")

    def parameters(self, n: int, generator: torch.Generator) -> Tensor:
        coins = _coins(n, 5, generator)
        center = self.size * (0.5 + self.spread * (coins[:, :2] - 0.5))
        return torch.cat([center, self.size * _uniform(coins[:, 2:4], self.side), math.pi * coins[:, 4:]], 1)

    def inside(self, parameters: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        row, column, height, width, angle = parameters.unbind(1)
        down, right = rows - row, columns - column
        along = angle.cos() * down + angle.sin() * right
        across = angle.cos() * right - angle.sin() * down
        return (along.abs() < height / 2) & (across.abs() < width / 2)


@dataclass(frozen=True)
class Grays:
    r"""Coverages c made gray, :math:`b + (f - b)\, c`, with normal gray levels b and f for each image.

    The default is the tutorial's: ground N(1, 0.1^2), shape N(1, 0.03^2).  With :class:`Rectangles` the images lie on a
    manifold of seven dimensions.

    Args:
        ground: mean and standard deviation of b.
        shape: mean and standard deviation of f.

    References:
        Fessler 2023, extra slides ("toy exploration").
    """

    ground: tuple[float, float] = (1.0, 0.1)
    shape: tuple[float, float] = (1.0, 0.03)

    def __call__(self, coverage: Tensor, generator: torch.Generator) -> Tensor:
        """``coverage`` (n, 1, H, W), each with its two gray levels."""
        noise = torch.randn(len(coverage), 2, 1, 1, 1, generator=generator, dtype=torch.float64).to(coverage)
        ground, shape = (
            mean + std * drawn for (mean, std), drawn in zip((self.ground, self.shape), noise.unbind(1), strict=True)
        )
        return ground + (shape - ground) * coverage


def _coins(n: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, count, generator=generator, dtype=torch.float64, device=generator.device)


def _uniform(coins: Tensor, limits: tuple[float, float]) -> Tensor:
    low, high = limits
    return low + (high - low) * coins


def _check_range(name: str, limits: tuple[float, float], largest: float) -> None:
    low, high = limits
    if not 0 < low <= high <= largest:
        raise InputError(
            f"The {name} needs 0 < smallest <= largest{f' <= {largest:g}' if math.isfinite(largest) else ''}, got"
            f" {low:g} and {high:g}; they are fractions of the image's size."
        )
