"""A multilayer perceptron on the pixels of one small patch: the patch network of the tutorial."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scorefield.errors import InputError


class PatchMLP(nn.Module):
    """Perceptron on p x p patches, n -> about 4n, 9n, 18n, 36n, 36n, 18n, 9n, 4n -> n units, n = p^2 channels.

    For 3 x 3 patches it is the network of the tutorial, 9-40-80-160-320-320-160-80-40-9: nine linear layers, with five
    leaky rectifiers and then three hyperbolic tangents between them, and a linear output.  The noise level is no input
    of the tutorial's network, and nine pixels are too few to estimate it.  ``levels=1`` adds the level as an input.

    Args:
        size: patch side p.
        channels: image channels.
        levels: number of inputs that are the noise level: 0 as in the tutorial, 1 to condition on the noise.
        widths: units of the hidden layers, by default the tutorial's; leaky rectifiers follow the first five layers,
            hyperbolic tangents the others.

    Raises:
        InputError: no hidden layer, or one without units.

    References:
        Fessler, "Score-based generative models with medical imaging applications", 2023, slides on patch models.
    """

    GROWTH = (40, 80, 160, 320, 320, 160, 80, 40)  # the tutorial's hidden widths for n = 9

    def __init__(self, *, size: int = 3, channels: int = 1, levels: int = 0, widths: Sequence[int] | None = None):
        super().__init__()
        if widths is not None and not (len(widths) and min(widths) >= 1):
            raise InputError(f"PatchMLP needs at least one hidden layer of at least one unit, got {tuple(widths)}.")
        self.size, self.channels, self.levels = size, channels, levels
        self.widths = None if widths is None else tuple(widths)
        pixels = channels * size**2
        hidden = [round(width * pixels / 9) for width in self.GROWTH] if widths is None else widths
        layers = [nn.Linear(a, b) for a, b in pairwise([pixels + levels, *hidden, pixels])]
        self.layers = nn.ModuleList(layers)
        for layer in layers[:-1][:5]:
            nn.init.kaiming_normal_(layer.weight, a=0.01, nonlinearity="leaky_relu")

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Map patches (B, channels, p, p) and noise levels (B,) to patches of the same shape."""
        z = x.flatten(1)
        if self.levels:
            z = torch.cat([z, noise.to(z.dtype).reshape(-1, 1).expand(len(z), self.levels)], 1)
        first, *inner, last = self.layers
        with torch.autocast(z.device.type, enabled=False):
            # in the precision of the images: rounding to bfloat16 would be noise as large as the smallest sigmas
            z = F.leaky_relu(first(z), 0.01, inplace=True)
        for i, layer in enumerate(inner, start=1):
            z = F.leaky_relu(layer(z), 0.01, inplace=True) if i < 5 else layer(z).tanh_()
        return last(z).reshape(x.shape)
