"""A convolutional network of 9 x 9 pixels with the noise level as an input: a ``LocalCNN`` that is not blind.

:class:`scorefield.nets.LocalCNN` is the published network: the noise level is not an input, and features are
normalized by their variance over the batch.  This one has residual steps in place of the normalization, and the level
as one more channel.  :class:`BlindCNN` gets zeros in that channel, which measures the value of the level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LevelCNN(nn.Module):
    """Four 3 x 3 convolutions and three 1 x 1 without biases; homogeneous in image and noise together.

    Args:
        channels: of the image, known ones included.
        width: features.
    """

    def __init__(self, *, channels: int = 1, width: int = 24):
        super().__init__()
        self.channels, self.width = channels, width
        self.head = nn.Conv2d(channels + 1, width, 3, padding=1, bias=False)
        self.inner = nn.ModuleList(nn.Conv2d(width, width, k, padding=k // 2, bias=False) for k in (3, 3, 3, 1, 1))
        self.tail = nn.Conv2d(width, channels, 1, bias=False)
        nn.init.zeros_(self.tail.weight)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Images (B, channels, H, W) and noise levels (B,) to images of the same shape."""
        level = noise.to(x.dtype).reshape(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])
        z = self.head(torch.cat([x, level], 1).contiguous(memory_format=torch.channels_last))
        for layer in self.inner:
            z = z + layer(torch.relu(z))
        return self.tail(torch.relu(z))


class BlindCNN(LevelCNN):
    """The same network with nothing in the channel of the level."""

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return super().forward(x, torch.zeros_like(noise))
