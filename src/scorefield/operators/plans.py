"""Plans of finufft: the sorted points of a trajectory, kept for the next transform of the same precision and batch.

References:
    Barnett, Magland, af Klinteberg, "A parallel nonuniform fast Fourier transform library based on an exponential of
    semicircle kernel", SIAM J. Sci. Comput. 2019, arXiv:1808.06736.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError

ERRORS = {torch.complex64: 1e-6, torch.complex128: 1e-14}  # relative, of one transform
MOST = 4  # plans in memory


class Plans:
    """The two sums between a grid and points; plans are made when they are first used.

    Args:
        points: (m, d), in cycles per pixel.
        sizes: of the grid, d of them.
    """

    def __init__(self, points: Tensor, sizes: tuple[int, ...]):
        self.points, self.sizes = points.double().cpu(), sizes
        self._plans: dict[tuple[Any, ...], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"points": self.points, "sizes": self.sizes, "_plans": {}}  # a plan is memory of the library

    def to_points(self, grids: Tensor) -> Tensor:
        r"""Sums :math:`\sum_j x_j e^{-2 \pi i\, k \cdot (j - c)}` of grids (b, *sizes): (b, m)."""
        return self._execute(2, grids, (len(self.points),))

    def to_grid(self, values: Tensor) -> Tensor:
        r"""Sums :math:`\sum_m y_m e^{2 \pi i\, k_m \cdot (j - c)}` of values (b, m): (b, *sizes)."""
        return self._execute(1, values, self.sizes)

    def _execute(self, kind: int, values: Tensor, shape: tuple[int, ...]) -> Tensor:
        batch = len(values)
        if batch == 0 or values.is_meta:  # nothing to sum
            return values.new_zeros(batch, *shape)
        flat = values.detach().resolve_conj().cpu().contiguous()
        plan = self._plan(kind, batch, flat.dtype)
        found = plan.execute((flat if batch > 1 else flat[0]).numpy())
        return torch.from_numpy(found).reshape(batch, *shape).to(values.device)

    def _plan(self, kind: int, batch: int, dtype: torch.dtype) -> Any:
        threads = torch.get_num_threads()
        key = kind, batch, dtype, threads
        if key not in self._plans:
            while len(self._plans) >= MOST:
                del self._plans[next(iter(self._plans))]  # the oldest
            name, real = str(dtype).removeprefix("torch."), dtype.to_real()
            plan = finufft().Plan(
                kind, self.sizes, batch, ERRORS[dtype], -1 if kind == 2 else 1, dtype=name, nthreads=threads
            )
            plan.setpts(*(2 * math.pi * self.points).to(real).mT.contiguous().numpy())
            self._plans[key] = plan
        return self._plans[key]


def finufft() -> Any:
    """The package.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module("finufft")
    except ImportError as error:
        raise InputError(
            "Non-uniform Fourier transforms need the package finufft, which is not installed; install it with"
            " pip install 'scorefield[mri]'."
        ) from error
