r"""Total variation with the weight of the discrepancy principle, for a scan without a truth.

The misfit :math:`\|R^{-1/2}(A x_w - y)\|^2` rises with the weight w.  The weight is the one at which it is the number m
of real data, as the misfit of the true image is: found among a logarithmic grid, and between its neighbors by
interpolation of the logarithms.

References:
    Morozov, "On the solution of functional equations by the method of regularization", Soviet Math. Dokl. 1966.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from scorefield.baselines.fidelity import Fidelity
from scorefield.baselines.tv import solve, total_variation
from scorefield.measurement import Measurement

EXPONENTS = tuple(k / 4 for k in range(-10, 5))  # of ten, around the noise in the image
COARSE, COARSE_ITERATIONS = 1e-2, 150  # of the grid, as those of the oracle


def matched_total_variation(measurement: Measurement, *, iterations: int = 1000, tolerance: float = 1e-3) -> Tensor:
    """Total variation whose misfit is that of the noise, or the nearest on a grid of three and a half decades.

    Args:
        measurement: the scan.
        iterations: largest number of steps, see :func:`scorefield.baselines.total_variation`.
        tolerance: relative gap at which the iteration stops.

    Returns:
        One image, shaped like ``measurement.shape``.
    """
    fidelity = Fidelity(measurement)
    scale, data = fidelity.noise_in_image(), fidelity.measurement.y
    weights = [scale * 10**exponent for exponent in EXPONENTS]
    grid = torch.tensor(weights, dtype=fidelity.rhs.real.dtype, device=fidelity.rhs.device)
    state = solve(fidelity, grid, iterations=min(iterations, COARSE_ITERATIONS), tolerance=max(tolerance, COARSE))
    count = data.numel() * (2 if data.is_complex() else 1)
    misfit = (2 * fidelity.value(state.x) / (fidelity.variance * count)).double().cpu().log().numpy()
    exponent = float(np.interp(0.0, np.maximum.accumulate(misfit), [math.log(weight) for weight in weights]))
    return total_variation(measurement, math.exp(exponent), iterations=iterations, tolerance=tolerance)
