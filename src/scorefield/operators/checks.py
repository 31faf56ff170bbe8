r"""Checks of an operator: is its adjoint right, and how large is its norm?"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.solve import inner
from scorefield.operators.linear import Operator
from scorefield.randomness import normal_like


def adjoint_error(
    operator: Operator, *, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
) -> float:
    r"""Relative defect of the adjoint at random x and y.

    .. math:: |\langle A x, y\rangle - \langle x, A^H y\rangle| / (\|A x\| \|y\|)

    About 1e-16 in float64 and 1e-8 in float32 for a true adjoint; for a wrong one, about one
    over the square root of the number of data.

    Args:
        operator: the operator to check.
        generator: source of x and y.
        dtype: of the images; by default float64, and complex128 where real images come back complex, as those of MRI.

    Raises:
        InputError: ``dtype`` is real and images come back complex, so that the adjoint leaves the space of the images.
    """
    x = _draw(operator, generator, dtype or torch.float64)
    data = operator(x)
    y = normal_like(data, generator)
    back = operator.H(y)
    if back.is_complex() and not x.is_complex():
        if dtype is None:
            return adjoint_error(operator, generator=generator, dtype=torch.complex128)
        raise InputError(f"{operator} maps real images to complex data but back to complex ones; take RealToComplex.")
    left, right = (inner(_double(a), _double(b)) for a, b in ((data, y), (x, back)))
    scale = torch.linalg.vector_norm(_double(data)) * torch.linalg.vector_norm(_double(y))
    return ((left - right).abs() / scale.clamp(min=torch.finfo(torch.float64).tiny)).item()


def operator_norm(
    operator: Operator,
    *,
    iterations: int = 50,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> float:
    r"""Largest singular value :math:`\|A\|` by power iteration on :math:`A^H A`, from below.

    Args:
        operator: the operator to measure.
        iterations: power steps; the relative error decays as the eigenvalue ratio to the power 2 x
            iterations.
        generator: source of the first image.
        dtype: of the images; a complex one for operators on complex images.

    Raises:
        InputError: iterations < 1.
    """
    if iterations < 1:
        raise InputError(f"Power iteration needs at least one step, got iterations={iterations}.")
    x = _draw(operator, generator, dtype)
    for _ in range(iterations):
        image = operator.gram(x / torch.linalg.vector_norm(x))
        if not bool(image.any()):
            return 0.0
        x = image
    return torch.linalg.vector_norm(operator(x / torch.linalg.vector_norm(x))).item()


def _draw(operator: Operator, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
    device = torch.device("cpu") if generator is None else generator.device
    return normal_like(torch.empty(1, *operator.shape_in, dtype=dtype, device=device), generator)


def _double(x: Tensor) -> Tensor:
    return x.to(torch.complex128 if x.is_complex() else torch.float64)
