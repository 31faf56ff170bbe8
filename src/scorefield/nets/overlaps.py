r"""Overlapping patches of an image, and the way back.

Patch c of the image x is :math:`G_c M x`: M mirrors x beyond its border (edge pixels are repeated), and :math:`G_c`
cuts out p x p pixels at every t-th place, as soon and as long as they touch the image.  Both are linear, so what is
said about patches goes back to pixels by the adjoint, :math:`\sum_c a_c M^T G_c^T v_c`; if :math:`v_c` is the gradient
of a function of patch c, the sum is the gradient of the sum of those functions.

Mirroring makes two of each patch across the border, a patch and its mirror image k and p - k pixels outside: they
share one vote, :math:`a_c = \tfrac12` for each side they cross.  Then every pixel, at the border too, is heard
:math:`(p/t)^2` times where t divides p and twice the sides of the image.  Elsewhere the sum is divided by how often a
pixel is heard, relative to that; then it is no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scorefield.errors import InputError

Experts = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Overlaps:
    """All patches of an image mirrored at its border.

    Args:
        size: patch side p in pixels.
        stride: pixels between neighboring patches, at most p.

    Raises:
        InputError: a side below 1, or a stride out of range.
    """

    size: int
    stride: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.size:
            raise InputError(
                f"Patches need 1 <= stride <= size, or pixels are left out; got stride {self.stride}, size {self.size}."
            )

    def count(self, height: int, width: int) -> int:
        """How many patches an image has."""
        return len(self._starts(height)) * len(self._starts(width))

    def cut(self, x: Tensor) -> Tensor:
        """The patches ``G_c M x`` of images (B, C, H, W) as a view: (B, rows, columns, C, p, p).

        Raises:
            InputError: an image smaller than a patch.
        """
        if x.ndim != 4 or min(x.shape[2:]) < self.size:
            raise InputError(f"Patches of side {self.size} need images (B, C, H, W) as large, got {tuple(x.shape)}.")
        for axis in (2, 3):
            x = x.index_select(axis, self._mirror(x.shape[axis]).to(x.device))
        windows = x.unfold(2, self.size, self.stride).unfold(3, self.size, self.stride)
        return windows.permute(0, 2, 3, 1, 4, 5)

    def votes(self, height: int, width: int) -> Tensor:
        """``a_c``, halved for each border that a patch crosses: (rows, columns)."""
        return self._votes(height)[:, None] * self._votes(width)

    def join(self, patches: Tensor, height: int, width: int) -> Tensor:
        """``sum_c a_c M^T G_c^T v_c`` of patches (B, rows, columns, C, p, p), every pixel heard alike: (B, C, H, W)."""
        batch, rows, columns = patches.shape[:3]
        votes = self.votes(height, width).to(patches)
        flat = (patches.flatten(3) * votes[:, :, None]).reshape(batch, rows * columns, -1).transpose(1, 2)
        mirrors = [self._mirror(n).to(patches.device) for n in (height, width)]
        image = F.fold(flat, (len(mirrors[0]), len(mirrors[1])), self.size, stride=self.stride)
        for axis, n, mirror in ((2, height, mirrors[0]), (3, width, mirrors[1])):
            shape = [*image.shape[:axis], n, *image.shape[axis + 1 :]]
            image = image.new_zeros(shape).index_add(axis, mirror, image)
            if self.size % self.stride or 2 * n % self.stride:
                image = image / self._heard(n).to(image).reshape([-1, 1] if axis == 2 else [-1])
        return image

    def map(self, x: Tensor, experts: Experts, chunk: int) -> Tensor:
        """``sum_c a_c M^T G_c^T f(G_c M x)``, about ``chunk`` patches at a time: what is in work does not grow with B.

        Args:
            x: images (B, C, H, W), H and W at least p.
            experts: ``f(patches (m, C, p, p), images (m,))``, the second being the number in the batch of the image
                that each patch is from, to patches (m, C, p, p).
            chunk: patches that are in work at once.
        """
        height, width = x.shape[2:]
        images = max(1, chunk // self.count(height, width))
        parts = [
            self.join(self._said(part, experts, chunk, first=i * images), height, width)
            for i, part in enumerate(x.split(images))
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _said(self, x: Tensor, experts: Experts, chunk: int, first: int) -> Tensor:
        """What the experts say on the images ``x``, which begin with number ``first`` of the batch."""
        cut = self.cut(x)
        batch, _, columns = cut.shape[:3]
        owners = torch.arange(first, first + batch, device=x.device).reshape(-1, 1, 1)
        said = []
        for band in cut.split(max(1, chunk // (batch * columns)), dim=1):
            owner = owners.expand(band.shape[:3]).reshape(-1)
            said.append(experts(band.reshape(-1, *band.shape[3:]), owner).reshape(band.shape))
        return said[0] if len(said) == 1 else torch.cat(said, 1)

    def _starts(self, n: int) -> Tensor:
        """First pixels of the patches along an axis of n pixels, some of them outside."""
        return torch.arange(self.stride - self.size, n, self.stride)

    def _votes(self, n: int) -> Tensor:
        """``a_c`` along one axis."""
        starts = self._starts(n)
        return torch.where((starts < 0) | (starts + self.size > n), 0.5, 1.0)

    def _mirror(self, n: int) -> Tensor:
        """The pixels of the mirrored axis, as numbers 0..n-1."""
        starts = self._starts(n)
        places = torch.arange(int(starts[0]), int(starts[-1]) + self.size)
        places = torch.where(places < 0, -1 - places, places)
        return torch.where(places < n, places, 2 * n - 1 - places)

    def _heard(self, n: int) -> Tensor:
        """How often the pixels of an axis are heard, relative to p/t."""
        starts, mirror = self._starts(n), self._mirror(n)
        pixels = mirror[starts[:, None] - starts[0] + torch.arange(self.size)]
        votes = self._votes(n)[:, None].expand(pixels.shape)
        return torch.zeros(n).index_add(0, pixels.flatten(), votes.flatten()) * self.stride / self.size


def chunk_for(x: Tensor) -> int:
    """Patches in work at once: as many as keep a layer of a 5 x 5 network in a core's cache, or fill a GPU."""
    return 512 if x.device.type == "cpu" else 1 << 16
