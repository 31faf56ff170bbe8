r"""The nearest image that fits the data: :math:`x + A^+(y - A x)`, which several methods call data consistency."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.linalg.solve import conjugate_gradients
from scorefield.operators.linear import Operator


def pseudo_inverse(operator: Operator, residual: Tensor, *, iterations: int = 100) -> Tensor:
    r"""``A^+ r``, the smallest image with the smallest misfit to ``r``, by conjugate gradients on :math:`A^H A`.

    Where ``A A^H`` is a multiple of the identity (masks, masked Fourier samples, block averages) one iteration is
    exact; an early stop on an ill-posed operator regularizes towards zero.  The relative residual of the normal
    equations is brought to ``eps^(3/4)`` of the dtype.
    """
    tolerance = torch.finfo(residual.real.dtype).eps ** 0.75
    return conjugate_gradients(operator.gram, operator.H(residual), tolerance=tolerance, iterations=iterations)
