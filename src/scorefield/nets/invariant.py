r"""Networks with symmetries built in: each wraps any network and is exact for all of its weights.

They are stated for unitless scores :math:`F(v, \ell) = \sigma\, s(v, \sigma)`, :math:`\ell = \tfrac14 \ln \sigma`, what
:class:`scorefield.priors.FieldOfExperts` and :class:`scorefield.priors.Unitless` make a prior of, on patches or whole
images v of n pixels a channel:

========================== ===================================== ================================================
Class                      The prior does not change with        Built as
========================== ===================================== ================================================
:class:`OffsetInvariant`   a constant added to a channel         :math:`P F(P v, \ell)`
:class:`ScaleInvariant`    the unit of intensity                 :math:`F(v / q, \ell - \tfrac14 \ln q)`
:class:`Equivariant`       turns and flips of the square         :math:`\tfrac18 \sum_R R^T F(R v, \ell)`
========================== ===================================== ================================================

:math:`P = I - 11^T/n` removes the mean, :math:`q = \max(\|P v\| / \sqrt n,\ q_0 \sigma)`.  Since q has the unit of v
and sigma, :math:`s(c v, c \sigma) = s(v, \sigma) / c`; the floor is a multiple of sigma, not a number, so that this
holds for flat patches too, and keeps a patch of nothing but noise from being amplified.  The scaled score is a
gradient only if the network's is one of a function of v/q; the other two keep gradients.  The wrappers nest in any
order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.linalg.parts import per_image
from scorefield.nets.wrapped import Wrapped


class OffsetInvariant(Wrapped):
    """``P F(P v)``: constants are neither seen nor said, channel by channel.

    Args:
        net: called as ``net(x, noise)``.
    """

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return _centered(self.net(_centered(x), noise))


class ScaleInvariant(Wrapped):
    """``F(v / q, noise of sigma / q)``, q the standard deviation of v, at least ``floor`` sigma.

    Args:
        net: called as ``net(x, noise)``, ``noise`` a quarter of the logarithm of the noise level.
        floor: q_0; standard deviations below this many sigma are noise.

    Raises:
        InputError: the floor is not positive.
    """

    def __init__(self, net: nn.Module, *, floor: float = 1.0):
        super().__init__(net)
        if not floor > 0:
            raise InputError(f"ScaleInvariant needs a floor > 0, got {floor:g}; flat patches would be divided by 0.")
        self.floor = floor

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        least = (8 * noise).exp() * self.floor**2
        # the maximum of squares: the root's slope at 0 is infinite
        square = torch.maximum(_centered(x).square().flatten(1).mean(1), least)
        q = per_image(square.sqrt(), x)
        return self.net(x / q, noise - square.log() / 8)


class Equivariant(Wrapped):
    """The mean over the 8 turns and flips R of a square of ``R^T F(R v)``; eight times the work.

    Args:
        net: called as ``net(x, noise)``.
    """

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for turns in range(4):
            turned = torch.rot90(x, turns, (-2, -1))
            said = self.net(turned, noise) + self.net(turned.flip(-1), noise).flip(-1)
            total = total + torch.rot90(said, -turns, (-2, -1))
        return total / 8


def _centered(x: Tensor) -> Tensor:
    """``x`` without the mean of each channel."""
    return x - x.mean(tuple(range(2, x.ndim)), keepdim=True)
