r"""The data term of the baselines: :math:`f(x) = \tfrac12 \|W (A x - y)\|^2`.

Here :math:`W^2 = \bar v R^{-1}`, with :math:`1/\bar v` the mean of the diagonal of :math:`R^{-1}`: the weight of a
sample is its precision, relative to the mean precision.  For white noise W is the identity, so weights and ridges have
their textbook meaning.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement, as_measurement


class Fidelity:
    """``f(x) = 0.5 |W (A x - y)|^2``, its normal operator and its right-hand side.

    Args:
        measurement: the data y, operator A and noise R; of a law that is not Gaussian, its linear data.

    Raises:
        InputError: the law knows no linear data.

    Attributes:
        rhs: ``A^H W^2 y``, (1, *shape); the image has its dtype and device.
    """

    def __init__(self, measurement: Measurement):
        self.measurement = as_measurement(measurement).linear_data
        self.noise = self.measurement.gaussian
        self.variance = float(1 / self.noise.precision)
        self.rhs = self.back(self.measurement.y)

    def back(self, data: Tensor) -> Tensor:
        """``A^H W^2`` of data (B, *data)."""
        return self.measurement.operator.H(self.variance * self.noise.solve(data))

    def gram(self, x: Tensor) -> Tensor:
        """``A^H W^2 A x`` for images (B, *shape)."""
        return self.variance * self.measurement.operator.weighted_gram(self.noise, x)

    def value(self, x: Tensor) -> Tensor:
        """``f(x)`` for images (B, *shape): (B,)."""
        residual = self.measurement.residual(x)
        return 0.5 * self.variance * inner(residual, self.noise.solve(residual))

    def noise_in_image(self) -> float:
        """Root mean square of ``A^H W^2 n`` for one draw of the noise n, always the same: the scale of a TV weight."""
        given = self.measurement
        generator = torch.Generator(given.y.device).manual_seed(0)
        return float(self.back(self.noise.sample(given.y, generator)).abs().square().mean().sqrt())
