"""A residual U-Net without attention, small enough for a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.nets.checks import check_images


class Residual(nn.Module):
    """``x + conv(relu(conv(x)))``."""

    def __init__(self, channels: int, *, bias: bool):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(x)))


class UNet(nn.Module):
    """Residual U-Net for images of any size; the noise level is one more input channel.  By default 0.61 M weights.

    Blocks of 2 x 2 pixels become channels first, so no convolution runs at full resolution; an image of 128 x 128
    costs 1.33 GMAC.  Without biases every operation is positively homogeneous, so the network is scale-equivariant:
    ``net(c x, c noise) = c net(x, noise)`` for c > 0.

    Args:
        channels: image channels.
        widths: number of features at 1/2, 1/4, ... of the resolution.
        blocks: residual blocks at each resolution, on the way down and on the way up.
        bias: whether convolutions have biases; without them the network is scale-equivariant.

    References:
        Zhang et al., "Plug-and-play image restoration with deep denoiser prior" (DRUNet), TPAMI 2021, arXiv 2008.13751;
        Mohan et al., "Robust and interpretable blind image denoising via bias-free CNNs", ICLR 2020, arXiv 1906.05478.
    """

    def __init__(self, *, channels: int = 1, widths: Sequence[int] = (56, 96), blocks: int = 2, bias: bool = False):
        super().__init__()
        self.channels, self.widths, self.blocks, self.bias = channels, tuple(widths), blocks, bias
        self.head = nn.Conv2d(4 * (channels + 1), widths[0], 3, padding=1, bias=bias)
        self.encode = nn.ModuleList(self._level(w) for w in widths)
        self.decode = nn.ModuleList(self._level(w) for w in widths[:-1])
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2, bias=bias) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=bias) for fine, coarse in pairs)
        self.tail = nn.Conv2d(widths[0], 4 * channels, 3, padding=1, bias=bias)
        nn.init.zeros_(self.tail.weight)  # so the wrapped denoiser is its skip path at first
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def _level(self, width: int) -> nn.Sequential:
        return nn.Sequential(*(Residual(width, bias=self.bias) for _ in range(self.blocks)))

    @torch.no_grad()
    def continue_from(self, shallower: UNet) -> None:
        """Copy the weights of a network with fewer levels, so that both compute the same function.

        Raises:
            InputError: the two differ in more than the number of levels.
        """
        levels = len(shallower.widths)
        ours, theirs = ((n.widths[:levels], n.channels, n.blocks, n.bias) for n in (self, shallower))
        if ours != theirs:
            raise InputError(
                f"A U-Net continues one of the same first widths, channels, blocks and bias: {ours} is not {theirs}."
            )
        self.load_state_dict(shallower.state_dict(), strict=False)
        seconds = [block.second for decode in self.decode[levels - 1 :] for block in decode.children()]
        for new in [*self.up[levels - 1 :], *seconds]:  # the last layers of what the new levels add
            for parameter in new.parameters():  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Map images (B, channels, H, W) and noise levels (B,) to images of the same shape."""
        check_images(x, self.channels, "This U-Net")
        height, width = x.shape[-2:]
        step = 2 ** len(self.widths)
        level = noise.to(x.dtype).reshape(-1, 1, 1, 1).expand(len(x), 1, height, width)
        z = F.pad(torch.cat([x, level], 1), (0, -width % step, 0, -height % step), mode="replicate")
        z = self.head(F.pixel_unshuffle(z, 2).contiguous(memory_format=torch.channels_last))
        skips = []
        for encode, down in zip(self.encode, self.down, strict=False):
            skips.append(encode(z))
            z = down(skips[-1])
        z = self.encode[-1](z)
        for decode, up in zip(reversed(self.decode), reversed(self.up), strict=True):
            z = decode(up(z) + skips.pop())
        return F.pixel_shuffle(self.tail(z), 2)[..., :height, :width]
