r"""Forward models that are not linear, :math:`y = F(x) + n`.

Near images :math:`\bar x` such a model is :math:`F(\bar x) + J (x - \bar x)`, with the Jacobian :math:`J = \partial
F/\partial x` at :math:`\bar x`.  ``operator.at(x)`` is J, an operator like any other.  Automatic differentiation
gives its products: :math:`J^H u` backward through F, and :math:`J v` backward through :math:`u \mapsto J^H u`, which is
linear in u.  The algebra uses the adjoints that are known: ``Exponential(A.shape_out) @ A`` differentiates the
exponential only and uses the adjoint of A.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.operators.linear import Operator
from scorefield.operators.sides import Side


class Nonlinear(Operator):
    """A forward model that is not linear.

    A subclass writes ``_apply`` with differentiable torch functions, image by image over a batch.
    Posteriors take its linearization at the denoised images.  It may be composed with and added to any other operator.
    A model of complex images sets ``dtype`` to a complex type.

    Attributes:
        dtype: kind of its images, real or complex; their precision is that of the data.
    """

    dtype: torch.dtype = torch.float32

    @property
    def linear(self) -> bool:
        return False

    def at(self, x: Tensor) -> Operator:
        return Linearization(self, x)

    def blank(self, y: Tensor) -> Tensor:
        zeros = torch.zeros(1, *self.shape_in, dtype=y.real.dtype, device=y.device)
        return torch.complex(zeros, zeros) if self.dtype.is_complex else zeros

    @property
    def H(self) -> Operator:
        raise InputError(self._refusal())

    def _adjoint(self, y: Tensor) -> Tensor:
        raise InputError(self._refusal())

    def _refusal(self) -> str:
        return (
            f"{self} is not linear, so it has no adjoint; ask operator.at(x), its linearization at images x, or take a"
            " method that does so, such as MMPS."
        )


class Linearization(Operator):
    """The Jacobian of an operator at each image of a batch; it maps batches of the same length.

    Args:
        operator: the operator.
        x: images at which it is linearized, (B, *shape_in).

    Attributes:
        data: ``F(x)``, the operator's own data there.

    Raises:
        InputError: on application, another number of images than at which it was linearized.
    """

    def __init__(self, operator: Operator, x: Tensor):
        super().__init__(operator.shape_in, operator.shape_out)
        self.operator, self.x = operator, x.detach()
        with torch.enable_grad():
            self._leaf = self.x.clone().requires_grad_()
            self._data = operator(self._leaf)
        self.data = self._data.detach()
        with torch.enable_grad():
            self._probe = torch.zeros_like(self._data, requires_grad=True)
            (self._back,) = torch.autograd.grad(self._data, self._leaf, self._probe, create_graph=True)

    def to(self, device: torch.device | str) -> Linearization:
        return Linearization(self.operator.to(device), self.x.to(device))

    def _apply(self, x: Tensor) -> Tensor:
        return _pull_back(self._back, self._probe, self._fitting(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return _pull_back(self._data, self._leaf, self._fitting(y))

    def side(self, default: Side) -> Side:
        return self.operator.side(default)

    def _fitting(self, v: Tensor) -> Tensor:
        if len(v) != len(self.x):
            raise InputError(f"{self} was made at {len(self.x)} images, got {len(v)}; linearize at as many images.")
        return v

    def __str__(self) -> str:
        return f"{self.operator} linearized"


def _pull_back(of: Tensor, at: Tensor, v: Tensor) -> Tensor:
    """The gradient of ``<of, v>`` at ``at``, which is differentiable where v is."""
    graph = torch.is_grad_enabled() and v.requires_grad
    return torch.autograd.grad(of, at, v, retain_graph=True, create_graph=graph)[0]
