r"""Block matching and 3-D filtering (BM3D): a stack of similar blocks is sparse, and is filtered as one.

All blocks of :math:`p \times p` pixels are written in the basis of the two-dimensional cosine transform, as rows
:math:`T_i` of a table.  Every third block i is a reference.  Its group is the n most similar blocks
:math:`j_1 = i, j_2, \dots, j_n` around it, with n the largest power of two for which all mean square differences are at
most :math:`\tau \sigma^2`.  A group is filtered as one:

.. math:: \hat T_{j} = H^T (g \odot H T_{j}), \qquad H \text{ the orthonormal Haar transform along the group.}

The gains g come from the same group of a *guide*.  In the first pass the guide is the noisy image and
:math:`g = 1[|H T| > \lambda \sigma]`.  In the second pass the guide is the result of the first, and
:math:`g = (H T)^2 / ((H T)^2 + \sigma^2)` is the gain of Wiener.  In both passes the mean of a group has gain 1, so an
added constant does not change.  Every filtered block returns to its place with the weight :math:`w = 1 / \sum g^2`
(which is :math:`1 / N_{har}` if all gains are 0 or 1) times a Kaiser window K:

.. math:: x = \frac{\sum_j w_j K B_j}{\sum_j w_j K}, \qquad B_j \text{ the pixels of } \hat T_j.

Both sums are computed in the table first, because the transform of a block is linear: each block then has one inverse
transform, for any number of groups.

There are two differences from the paper.  Its first pass has a biorthogonal wavelet (bior1.5) in place of the cosine
transform, which it has in the second pass only.  Its bounds on the differences are 2500 and 400 for images up to 255;
here they are 25 and 4 times :math:`\sigma^2`, the same at :math:`\sigma = 10`, so that the filter has no unit.  (At
:math:`\sigma = 25` the bounds of the paper are 4 and 0.64 times, which at lower noise lose about 0.3 dB.)

References:
    Dabov, Foi, Katkovnik, Egiazarian, "Image denoising by sparse 3-D transform-domain collaborative filtering", IEEE
    TIP 2007.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scorefield.baselines.denoising import as_channels, from_channels, noisy_image, positive
from scorefield.errors import InputError
from scorefield.measurement import Measurement

TILE = 8  # side of a square of references whose distances are computed at once
CHUNK = 2**22  # numbers in the groups that are filtered at once


@dataclass(frozen=True)
class BM3D:
    """The filter as a function of images and noise level, ``BM3D()(x, sigma)``, with the published settings.

    Args:
        block: side p of the blocks, in pixels.
        step: pixels between neighboring references.
        window: side of the square around a reference whose blocks are compared with it, in blocks, odd.
        groups: largest numbers of blocks of a group in the first and in the second pass, powers of two.
        similar: largest mean square differences from the reference in the two passes, in units of the noise variance.
        threshold: lambda, in units of the standard deviation of the noise.
        kaiser: beta of the Kaiser window.

    Raises:
        InputError: a number out of range.

    References:
        Dabov, Foi, Katkovnik, Egiazarian, "Image denoising by sparse 3-D transform-domain collaborative filtering",
        IEEE TIP 2007; Lebrun, "An analysis and implementation of the BM3D image denoising method", IPOL 2012.
    """

    block: int = 8
    step: int = 3
    window: int = 39
    groups: tuple[int, int] = (16, 32)
    similar: tuple[float, float] = (25.0, 4.0)
    threshold: float = 2.7
    kaiser: float = 2.0

    def __post_init__(self) -> None:
        if self.block < 2 or not 1 <= self.step <= self.block or self.window < 1 or self.window % 2 == 0:
            raise InputError("BM3D needs blocks of at least 2 pixels, 1 <= step <= block and an odd window.")
        if len(self.groups) != 2 or any(n < 1 or n & (n - 1) for n in self.groups):
            raise InputError(f"BM3D needs two group sizes that are powers of two, got {self.groups}.")
        if len(self.similar) != 2 or not min(*self.similar, self.threshold, self.kaiser) > 0:
            raise InputError("BM3D needs positive bounds on differences (two), threshold and Kaiser parameter.")

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Denoise images; the result is shaped like ``x``.

        Args:
            x: real or complex images (..., H, W); each is filtered alone, and of complex images each part.
            sigma: standard deviation of the noise in each real component.

        Raises:
            InputError: images smaller than a block, or a level that is not positive and finite.
        """
        std = positive(float(sigma), "noise level of BM3D")
        if x.ndim < 2 or min(x.shape[-2:]) < self.block:
            raise InputError(f"BM3D needs images (..., H, W) of at least {self.block} pixels, got {tuple(x.shape)}.")
        channels = as_channels(x.reshape(-1, *x.shape[-2:]))
        denoised = torch.stack([self._filter(plane, std) for plane in channels])
        return from_channels(denoised, x).reshape(x.shape)

    def _filter(self, plane: Tensor, std: float) -> Tensor:
        """Both passes for one real image (H, W)."""
        offset = plane.mean()  # subtracted, because it would add rounding to the differences
        noisy = BlockTable(plane - offset, self.block)
        pilot = self.one_pass(noisy, noisy, 0, lambda s: (s.abs() > self.threshold * std).to(s), std)
        guide = BlockTable(pilot, self.block)
        return offset + self.one_pass(noisy, guide, 1, lambda s: s.square() / (s.square() + std**2), std)

    def one_pass(
        self, noisy: BlockTable, guide: BlockTable, number: int, gains: Callable[[Tensor], Tensor], std: float
    ) -> Tensor:
        """Filter the noisy image with the groups of the guide: (H, W).

        Args:
            noisy: the blocks of the image.
            guide: the blocks that are compared, and whose spectra give the gains.
            number: of the pass, 0 or 1, for the settings of groups and differences.
            gains: a function from the coefficients of a group of the guide to their gains.
            std: standard deviation of the noise.
        """
        matches, distances = guide.matches(self.step, self.window // 2, self.groups[number])
        close = (distances <= self.similar[number] * std**2 * self.block**2).sum(1)
        total, weights = torch.zeros_like(noisy.rows), noisy.rows.new_zeros(len(noisy.rows), 1)
        n = 1
        while n <= matches.shape[1]:
            largest = 2 * n > matches.shape[1]
            chosen = matches[(close >= n) & ((close < 2 * n) | largest), :n]
            for part in chosen.split(max(1, CHUNK // (n * self.block**2))):
                filter_groups(part.T, noisy.rows, guide.rows, gains, total, weights)
            n *= 2
        return noisy.image(total, weights, self.kaiser)


def bm3d(measurement: Measurement, strength: float = 1.0, *, settings: BM3D | None = None) -> Tensor:
    """Block matching and 3-D filtering of a noisy image; volumes slice by slice, channels one by one.

    Args:
        measurement: an image with white noise.
        strength: factor on the standard deviation of the noise in the filter.
        settings: the filter; by default the published one.

    Returns:
        One image, shaped like ``measurement.shape``.

    Raises:
        InputError: not an image of two or three axes with white noise, or a number out of range.
    """
    image, std = noisy_image(measurement)
    positive(strength, "strength of BM3D")
    if image.ndim < 3:
        raise InputError(f"BM3D takes images (C, *spatial) of two or three axes, got {tuple(image.shape)}.")
    return (settings or BM3D())(image, strength * std)


class BlockTable:
    """All blocks of an image, in raster order, in the cosine basis.

    Args:
        image: real (H, W).
        block: side p of the blocks.

    Attributes:
        rows: the coefficients of the blocks (blocks, p^2).
    """

    def __init__(self, image: Tensor, block: int):
        self.size, self.block = tuple(image.shape), block
        self.basis = torch.kron(cosine(block, image), cosine(block, image))
        windows = image.unfold(0, block, 1).unfold(1, block, 1)
        self.shape = (windows.shape[0], windows.shape[1])
        self.rows = windows.reshape(-1, block**2) @ self.basis.T

    def matches(self, step: int, reach: int, count: int) -> tuple[Tensor, Tensor]:
        """The blocks most similar to each reference, the reference first: indices and square distances.

        Args:
            step: pixels between neighboring references.
            reach: largest distance of a block from its reference along each axis, in blocks.
            count: largest number of blocks.

        Returns:
            Two tensors (references, n), with n the largest power of two that is possible.
        """
        count = 2 ** int(math.log2(min(count, math.prod(min(n, reach + 1) for n in self.shape))))
        rows, columns = (_references(n, step, self.rows.device) for n in self.shape)
        energy = self.rows.square().sum(1)
        tiles = [self._nearest(r, c, reach, count, energy) for r in rows.split(TILE) for c in columns.split(TILE)]
        indices, distances = zip(*tiles, strict=True)
        return torch.cat(indices), torch.cat(distances)

    def _nearest(self, r: Tensor, c: Tensor, reach: int, count: int, energy: Tensor) -> tuple[Tensor, Tensor]:
        """The same for the references in rows ``r`` and columns ``c``; a matrix product gives the distances."""
        near = [_around(places, reach, n) for places, n in zip((r, c), self.shape, strict=True)]
        own = (r[:, None] * self.shape[1] + c).flatten()
        other = (near[0][:, None] * self.shape[1] + near[1]).flatten()
        within = [(a[:, None] - b).abs() <= reach for a, b in zip((r, c), near, strict=True)]
        allowed = (within[0][:, None, :, None] & within[1][None, :, None, :]).reshape(len(own), len(other))
        d = energy[own, None] + energy[other] - 2 * self.rows[own] @ self.rows[other].T
        d = d.masked_fill(~allowed, math.inf).masked_fill(own[:, None] == other, -1)
        distances, places = d.topk(count, dim=1, largest=False)
        return other[places], distances

    def image(self, total: Tensor, weights: Tensor, beta: float) -> Tensor:
        """The image (H, W) of weighted blocks, divided by their weights.

        Args:
            total: coefficients of the blocks times their weights (blocks, p^2).
            weights: of the blocks (blocks, 1).
            beta: of the Kaiser window.
        """
        ends = torch.kaiser_window(self.block, False, beta, dtype=total.dtype, device=total.device)
        window = (ends[:, None] * ends).flatten()
        pixels = (total @ self.basis) * window
        above, below = (F.fold(part.T[None], self.size, self.block)[0, 0] for part in (pixels, weights * window))
        return above / below


def filter_groups(
    group: Tensor, noisy: Tensor, guide: Tensor, gains: Callable[[Tensor], Tensor], total: Tensor, weights: Tensor
) -> None:
    """Filter groups of blocks; add the blocks to ``total`` and their weights to ``weights``, in place.

    Args:
        group: indices of the blocks of each group (n, groups).
        noisy: coefficients of the blocks of the image (blocks, p^2).
        guide: coefficients of the blocks of the guide (blocks, p^2).
        gains: a function from the coefficients of a group of the guide to their gains.
        total: sums of weighted blocks (blocks, p^2).
        weights: sums of weights (blocks, 1).
    """
    n, groups = group.shape
    transform, shape = haar(n, noisy), (n, groups, noisy.shape[1])
    gain = gains(transform @ guide[group].flatten(1)).reshape(shape)
    gain[0, :, 0] = 1
    weight = 1 / gain.square().sum((0, 2))
    spectrum = (transform @ noisy[group].flatten(1)).reshape(shape) * gain * weight[:, None]
    blocks = group.flatten()
    total.index_add_(0, blocks, (transform.T @ spectrum.flatten(1)).reshape(-1, noisy.shape[1]))
    weights.index_add_(0, blocks, weight.expand(n, -1).reshape(-1, 1))


def cosine(n: int, like: Tensor) -> Tensor:
    """The orthonormal cosine transform (DCT-II), (n, n), in the precision of ``like``."""
    from scipy.fft import dct

    return torch.from_numpy(dct(np.eye(n), norm="ortho", axis=0)).to(like)


def haar(n: int, like: Tensor) -> Tensor:
    """The orthonormal Haar transform (n, n) for n a power of two, the mean first, in the precision of ``like``."""
    basis = torch.ones(1, 1, dtype=torch.float64)
    while len(basis) < n:
        details = torch.kron(torch.eye(len(basis)), torch.tensor([1.0, -1.0]))
        basis = torch.cat([torch.kron(basis, torch.ones(1, 2)), details.to(basis)]) / math.sqrt(2)
    return basis.to(like)


def _references(n: int, step: int, device: torch.device) -> Tensor:
    """Every ``step``-th of n places, and the last place."""
    places = torch.arange(0, n, step, device=device)
    return places if int(places[-1]) == n - 1 else torch.cat([places, places.new_tensor([n - 1])])


def _around(places: Tensor, reach: int, n: int) -> Tensor:
    """All of n places that are at most ``reach`` before the first or after the last of ``places``."""
    return torch.arange(max(0, int(places[0]) - reach), min(n, int(places[-1]) + reach + 1), device=places.device)
