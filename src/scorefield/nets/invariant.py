r"""Networks with built-in symmetries: each wraps any network, and the symmetry holds exactly for all weights.

The table is for unitless scores :math:`F(v, \ell) = \sigma\, s(v, \sigma)`, :math:`\ell = \tfrac14 \ln \sigma`, on
patches or whole images v of n pixels a channel.  :class:`scorefield.priors.FieldOfExperts` and
:class:`scorefield.priors.Unitless` make a prior of such a network.

========================== ===================================== ================================================
Class                      The prior is invariant to             Formula
========================== ===================================== ================================================
:class:`OffsetInvariant`   a constant added to a channel         :math:`P F(P v, \ell)`
:class:`ScaleInvariant`    the unit of intensity                 :math:`F(v / q, \ell - \tfrac14 \ln q)`
:class:`Equivariant`       turns and flips of the square         :math:`\tfrac18 \sum_R R^T F(R v, \ell)`
========================== ===================================== ================================================

:math:`P = I - 11^T/n` removes the mean, and :math:`q = \max(\|P v\| / \sqrt n,\ q_0 \sigma)` is a floored standard
deviation.  Since q has the unit of v and sigma, :math:`s(c v, c \sigma) = s(v, \sigma) / c`.  The floor is a multiple
of sigma, so that this holds for flat patches too and a patch of noise alone is not amplified.  The scale-invariant
score is a gradient only if F is the gradient of a function of v/q; the other two wrappers turn gradients into
gradients.  The wrappers nest in any order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.linalg.parts import per_image
from scorefield.nets.wrapped import Wrapped


class OffsetInvariant(Wrapped):
    """``P F(P v)``: the mean of each channel is removed from the input and from the output.

    Args:
        net: called as ``net(x, noise)``.
    """

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return _centered(self.net(_centered(x), noise))


class ScaleInvariant(Wrapped):
    """``F(v / q, noise of sigma / q)``, with q the standard deviation of v, but at least ``floor`` sigma.

    Args:
        net: called as ``net(x, noise)``, where ``noise`` is a quarter of the logarithm of the noise level.
        floor: q_0; a standard deviation below this many sigma is taken for noise.

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
        # the maximum of squares, because the slope of the root at 0 is infinite
        square = torch.maximum(_centered(x).square().flatten(1).mean(1), least)
        q = per_image(square.sqrt(), x)
        return self.net(x / q, noise - square.log() / 8)


class Equivariant(Wrapped):
    """The mean of ``R^T F(R v)`` over the 8 turns and flips R of a square; eight evaluations of ``net``.

    Args:
        net: called as ``net(x, noise)``.
    """

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for turns in range(4):
            turned = torch.rot90(x, turns, (-2, -1))
            score = self.net(turned, noise) + self.net(turned.flip(-1), noise).flip(-1)
            total = total + torch.rot90(score, -turns, (-2, -1))
        return total / 8


def _centered(x: Tensor) -> Tensor:
    """``x`` without the mean of each channel."""
    return x - x.mean(tuple(range(2, x.ndim)), keepdim=True)
