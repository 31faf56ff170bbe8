"""A bias-free convolutional network that sees little: a patch model with its overlaps built in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.nets.checks import check_images


class LocalCNN(nn.Module):
    """Convolutions without biases whose output at a pixel depends on ``reach`` x ``reach`` pixels only.

    Of ``depth`` layers the first (reach - 1)/2 are 3 x 3, the others 1 x 1; rectifiers and normalization without bias
    after all but the first and the last.  Without biases ``net(c x) = c net(x)`` for c > 0: with
    :class:`scorefield.priors.Homogeneous` the prior has no unit of intensity.  It is not told the noise, and finds out.

    In training, images of all levels of noise share a batch and its variances, which the noisiest would decide.  So
    each is then brought to unit size before the layers and back after them, which by homogeneity changes nothing in
    evaluation, where it is left out.

    Args:
        reach: side of the receptive field in pixels, odd; published 5, 9, 13, 23 and 43.
        channels: image channels, known ones (:class:`scorefield.priors.Conditional`) included.
        width: features.
        depth: layers, at least (reach - 1)/2.

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
        nn.init.zeros_(self.layers[-1].weight)  # the wrapped denoiser starts as its skip path  # pyright: ignore
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Images (B, channels, H, W) and noise levels (B,), not looked at, to images of the same shape."""
        check_images(x, self.channels, "This local CNN")
        if not self.training:
            return self._layered(x)
        size = x.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=torch.finfo(x.dtype).tiny)
        return size * self._layered(x / size)

    def _layered(self, x: Tensor) -> Tensor:
        first, *inner, last = self.layers
        z = torch.relu(first(x.contiguous(memory_format=torch.channels_last)))
        for layer, norm in zip(inner, self.norms, strict=True):
            z = torch.relu(norm(layer(z)))
        return last(z)


class BiasFreeNorm(nn.Module):
    """Features over their standard deviation, times a weight: batch normalization that subtracts and adds nothing.

    Args:
        width: features.
        momentum: of the running variance that evaluation uses.
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
