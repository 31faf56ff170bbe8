"""The base class of networks that wrap another network."""

from __future__ import annotations

from torch import nn


class Wrapped(nn.Module):
    """A network that wraps another network, for the same patches and channels.

    Args:
        net: called as ``net(x, noise)``.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self.size, self.channels = getattr(net, "size", None), getattr(net, "channels", None)
