r"""Tilings: an image prior from a denoiser of disjoint patches that knows the place of each patch (PaDIS).

An N x N image, with zeros around it, is covered by P x P patches that start at an offset o in
:math:`\{0..M-1\}^2`:

.. math::
    p(x) \propto \prod_o \Bigl[ p_{B}(x_{o,B}) \prod_r p_r(x_{o,r}) \Bigr]^{1/M^2}, \qquad
    D(x, \sigma) = \frac{1}{M^2} \sum_o \sum_r G_{o,r}^T\, D_\theta(G_{o,r} x,\ pos_{o,r},\ \sigma),

with border B everything outside of the patches, known to be 0.  One random offset is an unbiased estimate of the mean,
and a sampler that draws a new one at each step (:meth:`Tiling.draw`) takes the mean over its steps.  With few steps
seams remain.  With ``overlap`` neighboring patches share that many pixels, with linear weights, similar to the mean
over ``overlap + 1`` shifted tilings.  Then there are no seams to average out, for :math:`(P / (P - overlap))^2` times
the work.

The network was trained on patches with noise around the image, although this noise carries no information.  So the
coin that fixes the offset also fixes noise around the image.
"""

from __future__ import annotations

import math
from types import EllipsisType
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scorefield.errors import InputError
from scorefield.lessons.lesson import Lesson
from scorefield.lessons.tiles import TileCut
from scorefield.prior import Denoiser, Prior, Vjp, level
from scorefield.randomness import coin_of, normal_like

if TYPE_CHECKING:
    from typing import Self

Coin = tuple[int, int, int]


class Tiling(Denoiser):
    """A prior on images of any size: one tiling of the plane at a time; :meth:`draw` changes it.

    Args:
        patches: denoiser of patches with two channels more, row and column of each pixel
            (:class:`scorefield.priors.Conditional`).
        size: patch side P in pixels; the published 56 is for 256 x 256 images.
        pad: zeros M on each side of an image, also the number of offsets along an axis; as in training.
        overlap: pixels that neighboring patches share, at most P/2; the published tilings have none.
        coin: offset along rows and columns, and the seed of the noise around the image.

    Raises:
        InputError: a size, pad, overlap or offset out of range.

    References:
        Hu, Song, Xu, Shen, Fessler, "Learning image priors through patch-based diffusion models for solving inverse
        problems" (PaDIS), NeurIPS 2024, arXiv 2406.02462.
    """

    def __init__(self, patches: Prior, *, size: int = 56, pad: int = 24, overlap: int = 0, coin: Coin = (0, 0, 0)):
        super().__init__()
        if size < 1 or pad < 0 or not 0 <= 2 * overlap <= size:
            raise InputError("Tiling needs size >= 1, pad >= 0 and 0 <= overlap <= size / 2.")
        if len(coin) != 3 or not all(0 <= o < max(pad, 1) for o in coin[:2]):
            raise InputError(f"The coin is two offsets from 0 to {max(pad, 1) - 1} and a seed, got {tuple(coin)}.")
        self.patches, self.size, self.pad, self.overlap = patches, size, pad, overlap
        self.coin: Coin = (coin[0], coin[1], coin[2])

    def lesson(self) -> Lesson[Self]:
        """The lesson of the denoiser of patches: patches of three sizes with their places."""
        inner = self.patches.lesson()
        return Lesson(self, inner.trainee, TileCut(self.size, self.pad), inner.objective, inner.finish)

    def draw(self, generator: torch.Generator | None = None) -> Tiling:
        """One tiling: uniform offsets, and fresh noise around the image."""
        generator = None if generator is None else coin_of(generator)  # all draws have the same offsets
        device = generator.device if generator is not None else "cpu"
        ends = (max(self.pad, 1), max(self.pad, 1), 2**31)
        coin = [int(torch.randint(end, (), generator=generator, device=device)) for end in ends]
        return Tiling(
            self.patches, size=self.size, pad=self.pad, overlap=self.overlap, coin=(coin[0], coin[1], coin[2])
        )

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        s, grid = level(sigma, x), self.grid(x)
        levels = grid.levels(s)
        return grid.join(self.patches.denoise(self._tiles(x, levels), levels)[:, : x.shape[1]])

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        grid = self.grid(x)
        levels = grid.levels(level(sigma, x))
        denoised, vjp = self.patches.linearize(self._tiles(x, levels), levels)

        def pull(v: Tensor) -> Tensor:
            with torch.enable_grad():  # cutting and joining are linear: their adjoints are autograd's
                image, said = torch.zeros_like(x).requires_grad_(), torch.zeros_like(denoised).requires_grad_()
                back = torch.autograd.grad(grid.join(said[:, : x.shape[1]]), said, v)[0]
                return torch.autograd.grad(grid.cut(image), image, vjp(back)[:, : x.shape[1]])[0]

        return grid.join(denoised[:, : x.shape[1]]), pull

    def grid(self, x: Tensor) -> Grid:
        """Where the patches of images (B, C, H, W) are.

        Raises:
            InputError: other than real images.
        """
        if x.ndim != 4 or x.is_complex():
            raise InputError(f"Tiling takes real images (B, C, H, W), got {x.dtype} of shape {tuple(x.shape)}.")
        step, corners = self.size - self.overlap, []
        for length, offset in zip(x.shape[2:], self.coin[:2], strict=True):
            count = max(1, math.ceil((length + self.pad - self.overlap) / step))  # whatever the offset
            corners.append(tuple(offset - self.pad + k * step for k in range(count)))
        return Grid(corners[0], corners[1], self.size, self.overlap, x.shape[2:])

    def _tiles(self, x: Tensor, levels: Tensor) -> Tensor:
        """The patches of noisy images, noise around them, and the positions of their pixels."""
        grid = self.grid(x)
        tiles, outside = grid.cut(x), 1 - grid.cut(torch.ones_like(x))
        generator = torch.Generator().manual_seed(self.coin[2])
        one = torch.empty(grid.number, *tiles.shape[1:], dtype=x.dtype)  # the same around every image of a batch
        noise = normal_like(one, generator).to(x).repeat(len(x), 1, 1, 1)
        places = grid.places(self.pad).to(x).repeat(len(x), 1, 1, 1)
        return torch.cat([tiles + outside * noise * levels.reshape(-1, 1, 1, 1), places], 1)


class Grid(NamedTuple):
    """The places of patches on images of one shape; it cuts them out and puts them together.

    Attributes:
        rows: first row of each row of patches, some outside of the image.
        columns: first column of each column of patches.
        size: side of a patch.
        overlap: pixels that neighbors share.
        shape: height and width of the images.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    size: int
    overlap: int
    shape: tuple[int, ...]

    @property
    def number(self) -> int:
        """How many patches an image has."""
        return len(self.rows) * len(self.columns)

    def cut(self, x: Tensor) -> Tensor:
        """The patches of images with zeros around them: (B x number, C, P, P)."""
        (top, bottom), (left, right) = self._around()
        canvas = F.pad(x, [left, right, top, bottom])
        return torch.stack([canvas[window] for window in self._windows()], 1).flatten(0, 1)

    def join(self, tiles: Tensor) -> Tensor:
        """Images (B, C, H, W) from patches (B x number, C, P, P), with linear weights where these overlap."""
        tiles = tiles.unflatten(0, (-1, self.number))
        ramp = torch.arange(1, self.size + 1, dtype=tiles.dtype, device=tiles.device) / (self.overlap + 1)
        ramp = torch.minimum(ramp, ramp.flip(0)).clamp(max=1)
        ramp = ramp[:, None] * ramp
        (top, bottom), (left, right) = self._around()
        height, width = self.shape
        total = tiles.new_zeros(len(tiles), tiles.shape[2], height + top + bottom, width + left + right)
        weights = torch.zeros_like(total[:1, :1])
        for k, window in enumerate(self._windows()):
            total[window] += ramp * tiles[:, k]
            weights[window] += ramp
        image = (..., slice(top, top + height), slice(left, left + width))
        return total[image] / weights[image]

    def places(self, pad: int) -> Tensor:
        """Row and column of every pixel, from -1 to 1 over an image with ``pad`` zeros around it: (number, 2, P, P)."""
        axes = []
        for corners, length in zip((self.rows, self.columns), self.shape, strict=True):
            pixels = torch.tensor(corners, dtype=torch.float64)[:, None] + torch.arange(self.size) + pad
            axes.append(2 * pixels / (length + 2 * pad - 1) - 1)
        rows = axes[0][:, None, :, None].expand(-1, len(self.columns), -1, self.size)
        columns = axes[1][None, :, None, :].expand(len(self.rows), -1, self.size, -1)
        return torch.stack([rows, columns], 2).flatten(0, 1)

    def levels(self, sigma: Tensor) -> Tensor:
        """The noise level of each patch, or the one level of all."""
        return sigma.reshape(()) if sigma.numel() == 1 else sigma.flatten().repeat_interleave(self.number)

    def _around(self) -> list[tuple[int, int]]:
        """How far the patches reach beyond the image, before and after it, along rows and columns."""
        return [
            (max(0, -corners[0]), max(0, corners[-1] + self.size - length))
            for corners, length in zip((self.rows, self.columns), self.shape, strict=True)
        ]

    def _windows(self) -> list[tuple[EllipsisType | slice, ...]]:
        """The patches as indices into the image with its surroundings."""
        (top, _), (left, _) = self._around()
        return [
            (..., slice(r + top, r + top + self.size), slice(c + left, c + left + self.size))
            for r in self.rows
            for c in self.columns
        ]
