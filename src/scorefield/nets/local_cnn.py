"""A bias-free convolutional network with a small receptive field.

Its output at a pixel is a function of one patch around that pixel, so it is a patch model that averages over all
overlapping patches by construction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.nets.checks import check_images


class LocalCNN(nn.Module):
    """Convolutions without biases whose output at a pixel depends on ``reach`` x ``reach`` pixels only.

    Of ``depth`` layers the first (reach - 1)/2 have kernels of 3 x 3, the others of 1 x 1.  Rectifiers follow all
    layers but the last, normalization without bias all but the first and the last.  Without biases
    ``net(c x) = c net(x)`` for c > 0, so the prior with :class:`scorefield.priors.Homogeneous` has no unit of
    intensity.  The noise level is not an input; the network estimates it from the image.

    In training, one batch has images of all noise levels, and the noisiest would dominate its variances.  So each
    image is scaled to unit size before the layers and scaled back after them.  In evaluation the scaling is left out,
    because it changes nothing: the network is homogeneous.

    Args:
        reach: side of the receptive field in pixels, odd; published 5, 9, 13, 23 and 43.
        channels: image channels, including the known ones of :class:`scorefield.priors.Conditional`.
        width: number of features.
        depth: number of layers, at least (reach - 1)/2.

    Raises:
        InputError: a reach that is even, below 3, or too large for the depth; a depth below 2.

    References:
        Kadkhodaie, Guth, Mallat, Simoncelli, "Learning multi-scale local conditional probability models of images",
        ICLR 2023, arXiv 2303.02984; Mohan et al., "Robust and interpretable blind image denoising via bias-free
        convolutional neural networks", ICLR 2020, arXiv 1906.05478.
    """

    def __init__(self, *, reach: int = 9, channels: int = 1, width: int = 64, depth: int = 21):
        super().__init__()
        if depth < 2 or reach < 3 or reach % 2 == 0 or reach > 2 * depth + 1:
            raise InputError(
                f"LocalCNN needs depth >= 2 and an odd reach from 3 to 2 depth + 1 = {2 * depth + 1}, got {reach}."
            )
        self.reach, self.channels, self.width, self.depth = reach, channels, width, depth
        features = [channels, *[width] * (depth - 1), channels]
        sides = [3 if 2 * k + 1 < reach else 1 for k in range(depth)]
        self.layers = nn.ModuleList(
            nn.Conv2d(features[k], features[k + 1], side, padding=side // 2, bias=False) for k, side in enumerate(sides)
        )
        self.norms = nn.ModuleList(BiasFreeNorm(width) for _ in range(depth - 2))
        nn.init.zeros_(self.layers[-1].weight)  # so the wrapped denoiser is its skip path at first  # pyright: ignore
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Map images (B, channels, H, W) to images of the same shape; ``noise`` (B,) is ignored."""
        check_images(x, self.channels, "This local CNN")
        if not self.training:
            return self._apply_layers(x)
        size = x.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=torch.finfo(x.dtype).tiny)
        return size * self._apply_layers(x / size)

    def _apply_layers(self, x: Tensor) -> Tensor:
        first, *inner, last = self.layers
        z = torch.relu(first(x.contiguous(memory_format=torch.channels_last)))
        for layer, norm in zip(inner, self.norms, strict=True):
            z = torch.relu(norm(layer(z)))
        return last(z)


class BiasFreeNorm(nn.Module):
    """Features divided by their standard deviation, times a weight: batch normalization without mean and bias.

    Args:
        width: number of features.
        momentum: of the running variance, which is used in evaluation.
    """

    def __init__(self, width: int, *, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        variance = torch.as_tensor(self.variance)
        if self.training:
            batch = x.var((0, 2, 3), correction=0)
            with torch.no_grad():
                variance.lerp_(batch.to(variance), self.momentum)
            variance = batch
        return x * (self.weight / (variance + 1e-5).sqrt()).reshape(-1, 1, 1)
