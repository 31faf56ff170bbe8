r"""The overlapping patches of an image, and the adjoint map from patches back to the image.

Patch c of the image x is :math:`G_c M x`.  M mirrors x beyond its border (edge pixels are repeated), and :math:`G_c`
cuts out p x p pixels at every t-th place where the patch touches the image.  Both are linear, and the adjoint
:math:`\sum_c a_c M^T G_c^T v_c` maps results :math:`v_c` on patches back to pixels.  If :math:`v_c` is the gradient of
a function of patch c, the sum is the gradient of the weighted sum of these functions.

A patch that crosses the border has a mirror image, which is a patch too: they lie k and p - k pixels outside.  The two
share one vote, so :math:`a_c = \tfrac12` for each side that a patch crosses.  Then every pixel, also at the border, has
a total of :math:`(p/t)^2` votes if t divides p and twice the sides of the image.  Otherwise the sum is divided by the
votes of each pixel relative to :math:`(p/t)^2`; it is then no gradient.
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
    """All patches of an image that is mirrored at its border.

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
        """The number of patches of an image."""
        return len(self._starts(height)) * len(self._starts(width))

    def cut(self, x: Tensor) -> Tensor:
        """The patches ``G_c M x`` of images (B, C, H, W): (B, rows, columns, C, p, p), a view.

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
        """The votes ``a_c`` of all patches, 1/2 for each border that a patch crosses: (rows, columns)."""
        return self._votes(height)[:, None] * self._votes(width)

    def join(self, patches: Tensor, height: int, width: int) -> Tensor:
        """``sum_c a_c M^T G_c^T v_c``, in which every pixel has the same total of votes: (B, C, H, W).

        Args:
            patches: v (B, rows, columns, C, p, p).
            height: H of the images.
            width: W of the images.
        """
        batch, rows, columns = patches.shape[:3]
        votes = self.votes(height, width).to(patches)
        flat = (patches.flatten(3) * votes[:, :, None]).reshape(batch, rows * columns, -1).transpose(1, 2)
        mirrors = [self._mirror(n).to(patches.device) for n in (height, width)]
        image = F.fold(flat, (len(mirrors[0]), len(mirrors[1])), self.size, stride=self.stride)
        for axis, n, mirror in ((2, height, mirrors[0]), (3, width, mirrors[1])):
            shape = [*image.shape[:axis], n, *image.shape[axis + 1 :]]
            image = image.new_zeros(shape).index_add(axis, mirror, image)
            if self.size % self.stride or 2 * n % self.stride:
                image = image / self._votes_of_pixels(n).to(image).reshape([-1, 1] if axis == 2 else [-1])
        return image

    def map(self, x: Tensor, experts: Experts, chunk: int) -> Tensor:
        """``sum_c a_c M^T G_c^T f(G_c M x)``, computed for about ``chunk`` patches at a time: (B, C, H, W).

        Args:
            x: images (B, C, H, W), H and W at least p.
            experts: the function f, which maps patches (m, C, p, p) and the number in the batch of the image of each
                patch (m,) to patches (m, C, p, p).
            chunk: number of patches in memory at once; it does not depend on B.
        """
        height, width = x.shape[2:]
        images = max(1, chunk // self.count(height, width))
        parts = [
            self.join(self._ask(part, experts, chunk, first=i * images), height, width)
            for i, part in enumerate(x.split(images))
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _ask(self, x: Tensor, experts: Experts, chunk: int, first: int) -> Tensor:
        """The results of the experts on the patches of ``x``; its first image is number ``first`` of the batch."""
        cut = self.cut(x)
        batch, _, columns = cut.shape[:3]
        owners = torch.arange(first, first + batch, device=x.device).reshape(-1, 1, 1)
        results = []
        for band in cut.split(max(1, chunk // (batch * columns)), dim=1):
            owner = owners.expand(band.shape[:3]).reshape(-1)
            results.append(experts(band.reshape(-1, *band.shape[3:]), owner).reshape(band.shape))
        return results[0] if len(results) == 1 else torch.cat(results, 1)

    def _starts(self, n: int) -> Tensor:
        """The first pixels of the patches along an axis of n pixels; some of them lie outside."""
        return torch.arange(self.stride - self.size, n, self.stride)

    def _votes(self, n: int) -> Tensor:
        """The factors of ``a_c`` along an axis of n pixels."""
        starts = self._starts(n)
        return torch.where((starts < 0) | (starts + self.size > n), 0.5, 1.0)

    def _mirror(self, n: int) -> Tensor:
        """The pixels of the mirrored axis, as numbers 0 ... n - 1."""
        starts = self._starts(n)
        places = torch.arange(int(starts[0]), int(starts[-1]) + self.size)
        places = torch.where(places < 0, -1 - places, places)
        return torch.where(places < n, places, 2 * n - 1 - places)

    def _votes_of_pixels(self, n: int) -> Tensor:
        """The total of votes of each pixel along an axis, relative to p/t: (n,)."""
        starts, mirror = self._starts(n), self._mirror(n)
        pixels = mirror[starts[:, None] - starts[0] + torch.arange(self.size)]
        votes = self._votes(n)[:, None].expand(pixels.shape)
        return torch.zeros(n).index_add(0, pixels.flatten(), votes.flatten()) * self.stride / self.size


def chunk_for(x: Tensor) -> int:
    """The number of patches in memory at once.

    On a CPU a layer of a network on 5 x 5 patches then fits into the cache of a core; on a GPU it uses all cores.
    """
    return 512 if x.device.type == "cpu" else 1 << 16
