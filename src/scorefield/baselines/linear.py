"""Linear reconstructions: zero filling, regularized least squares (CG-SENSE) and filtered back-projection."""

from __future__ import annotations

import math

from torch import Tensor

from scorefield.baselines.fidelity import Fidelity
from scorefield.errors import InputError
from scorefield.linalg.solve import conjugate_gradients, inner
from scorefield.measurement import Measurement, as_measurement


def zero_filled(measurement: Measurement) -> Tensor:
    r"""The adjoint image :math:`c A^H y`, with the scale c that fits the data best.

    :math:`c = \|A^H y\|^2 / \|A A^H y\|^2` minimizes :math:`\|y - c A A^H y\|`.  It is 1 if :math:`A A^H` is a
    projection (single-coil MRI, denoising), and otherwise corrects the scale of the operator (coils that are not
    normalized, ray lengths in mm).  For fully sampled MRI with normalized coils the result is the image itself.

    Args:
        measurement: the scan; of counts or magnitudes, its linear data are taken.

    Returns:
        One image, shaped like ``measurement.shape``.
    """
    measurement = as_measurement(measurement)
    image = measurement.operator.H(measurement.linear_data.y)
    data = measurement.operator(image)
    energy = float(inner(data, data))
    return image[0] * (float(inner(image, image)) / energy if energy > 0 else 0.0)


def least_squares(
    measurement: Measurement, *, ridge: float = 0.0, iterations: int = 30, tolerance: float = 1e-6
) -> Tensor:
    r"""Regularized least squares by conjugate gradients; for coil data, CG-SENSE.

    .. math:: \min_x \tfrac12 \|W (A x - y)\|^2 + \tfrac12\,\mathrm{ridge}\,\|x\|^2, \qquad W^2 \propto R^{-1}

    with W the identity for white noise (:mod:`scorefield.baselines.fidelity`).  With ``ridge = v / s^2`` this
    is the posterior mean under noise of variance v and a white Gaussian prior of variance s^2.  Without a
    ridge the early stop is the regularization, as usual for CG-SENSE.

    Args:
        measurement: the scan.
        ridge: >= 0, in the units of ``A^H A``.
        iterations: largest number of steps of conjugate gradients.
        tolerance: the steps stop at this relative residual of the normal equations.

    Returns:
        One image, shaped like ``measurement.shape``.

    Raises:
        InputError: a ridge that is negative or not finite.

    References:
        Pruessmann et al., "Advances in sensitivity encoding with arbitrary k-space trajectories", MRM 2001.
    """
    if not (math.isfinite(ridge) and ridge >= 0):
        raise InputError(f"The ridge must be a finite number >= 0, got {ridge}.")
    fidelity = Fidelity(measurement)
    return conjugate_gradients(
        lambda x: fidelity.gram(x) + ridge * x, fidelity.rhs, tolerance=tolerance, iterations=iterations
    )[0]


def filtered_back_projection(measurement: Measurement) -> Tensor:
    """Filtered back-projection of a sinogram, by :func:`scorefield.operators.fbp`.

    Args:
        measurement: the scan; its operator is a CT projector.  Of counts, the line integrals are taken.

    Returns:
        One image, shaped like ``measurement.shape``.

    Raises:
        InputError: another operator.
    """
    from scorefield.operators import Projector, fbp

    measurement = as_measurement(measurement)
    if not isinstance(measurement.operator, Projector):
        raise InputError(
            f"Filtered back-projection needs a CT projector, got {measurement.operator}; use least_squares."
        )
    return fbp(measurement.operator, measurement.linear_data.y)[0]
