"""A patch network as a network of whole images, by averaging over all overlapping patches."""

from __future__ import annotations

from torch import Tensor, nn

from scorefield.nets.overlaps import Overlaps, chunk_for


class Patchwise(nn.Module):
    r""":math:`(t/p)^2 \sum_c a_c M^T G_c^T F(G_c M x)`: the mean of the outputs of ``net`` on all overlapping patches.

    So a patch network is trained by score matching of whole images, as ``Network(Patchwise(net), Unitless())``.  It can
    also be trained as a density, ``Energy(Patchwise(net), Unitless())``, whose log-density is a sum over patches.

    Args:
        net: patch network F with ``size`` p and ``channels``.
        stride: pixels t between neighboring patches.
    """

    def __init__(self, net: nn.Module, *, stride: int = 1):
        super().__init__()
        self.net, self.stride = net, stride
        self.size, self.channels = int(net.size), int(net.channels)  # pyright: ignore[reportArgumentType]
        self._overlaps = Overlaps(self.size, stride)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Map images (B, channels, H, W), H and W at least p, and noise levels (B,) to images of the same shape."""
        noise = noise.expand(len(x))
        total = self._overlaps.map(x, lambda patches, image: self.net(patches, noise[image]), chunk_for(x))
        return total * (self.stride / self.size) ** 2
