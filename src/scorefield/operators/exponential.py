r"""The law of Beer and Lambert: a line integral m of attenuation leaves the part :math:`e^{-m}` of the radiation."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.operators.linear import Operator, Shape
from scorefield.operators.nonlinear import Nonlinear


class Exponential(Nonlinear):
    r""":math:`F(m)_i = e^{-m_i}`, number by number.

    Behind a projector it is the transmission of a scan, :math:`e^{-A x}`, without the logarithm that makes few photons
    into biased line integrals: ``Exponential(A.shape_out) @ A``.  For photon counts themselves see
    :class:`scorefield.noise.PoissonTransmission`, which has the exponential in the noise.

    Args:
        shape: shape of one image of m, without the batch.
    """

    def __init__(self, shape: Shape):
        super().__init__(shape, shape)
        self.shape = self.shape_in

    def _apply(self, x: Tensor) -> Tensor:
        return torch.exp(-x)

    def at(self, x: Tensor) -> Operator:
        return _Slope(-torch.exp(-x.detach()))


class _Slope(Operator):
    """Each number times its own, image by image: a diagonal Jacobian (B, *shape)."""

    def __init__(self, slope: Tensor):
        super().__init__(tuple(slope.shape[1:]), tuple(slope.shape[1:]))
        self.slope = slope

    def _apply(self, x: Tensor) -> Tensor:
        return self.slope * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.slope.conj() * y
