"""A known function of the patient's coordinates, which images of any geometry must agree with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def field(world: NDArray) -> NDArray:
    """The test pattern at RAS coordinates (..., 3) mm: it tells every direction apart."""
    return 2.0 * world[..., 0] - 3.0 * world[..., 1] + 5.0 * world[..., 2] + 0.01 * world[..., 0] * world[..., 1]


def sampled(shape: tuple[int, ...], affine: NDArray) -> NDArray:
    """The pattern on a grid: index (i, j[, k]) lies at affine (i, j, k, 1)."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).astype(float)
    index = np.concatenate([index, np.zeros((*shape, 3 - len(shape)))], -1)
    return field(index @ affine[:3, :3].T + affine[:3, 3])
