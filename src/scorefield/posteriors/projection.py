r"""Projection onto the data, before and after the denoiser."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.operators.consistency import pseudo_inverse
from scorefield.posteriors.base import Posterior
from scorefield.prior import Prior, Vjp, level
from scorefield.randomness import branch_of, normal_like


class Projection(Posterior):
    r"""The prior's denoiser between two projections of strength lambda.

    .. math:: x' = x + \lambda A^+(y + \sigma A z - A x), \qquad D' = D(x', \sigma), \qquad
              D_y = D' + \lambda A^+(y - A D').

    Before the denoiser the data get the noise of x: z is the coin of this posterior, drawn anew for every step of a
    walk (``draw``); without a coin (z = 0) the data stay clean.  The noise level of the data plays
    no part; lambda < 1 is the paper's allowance for it.

    *MRI.*  For one coil :math:`A = MF` and :math:`A^+ = A^H`: with lambda = 1 the measured k-space of x is replaced,
    :math:`F^H((1 - M) F x + M^H y)`, which is the data consistency of score-MRI.  For several coils there are two
    ways.  Either the images have the shape (coils, *spatial), with ``Sample(mask, shape) @ Fourier(shape)``, and each
    coil is treated so.  Or there is one image, with ``mri(mask, coils)``: :math:`A^+` is then a SENSE solve, of which
    score-MRI takes a single step, :math:`x + \lambda A^H(y - A x)`, now and then.  A complex image under a real prior
    is ``IndependentParts``.

    With lambda = 1 and ``kernels.Ancestral()`` this is the published predictor: the next projection
    overwrites what it does to the range of A^+.  For lambda < 1, where the projected image itself moves on, and for
    predictor-corrector chains to the letter, see ``kernels.Project``.  No step of :class:`Projection` mixes noise
    back from the null space, so without a corrector (``Repeat(Hold(Corrector()), k)``) its draws are biased.

    Args:
        weight: lambda in (0, 1]; the paper's code uses 1 for MRI and 0.841 for CT.
        iterations: of conjugate gradients for the pseudo-inverse, at most.

    References:
        Song, Shen, Xing, Ermon, ICLR 2022, arXiv 2111.08005; Chung & Ye, Medical Image Analysis 2022, arXiv 2110.05243
        (score-MRI).
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, weight: float = 1.0, iterations: int = 100):
        super().__init__(prior, measurement)
        if not 0 < weight <= 1 or iterations < 1:
            raise InputError(f"Projection needs 0 < weight <= 1, iterations >= 1; got {weight:g} and {iterations}.")
        self.weight, self.iterations = weight, iterations
        self._coin: Callable[[], torch.Generator] | None = None

    def draw(self, generator: torch.Generator | None = None) -> Prior:
        """The posterior with its own and the prior's coin for one step; without a generator the data stay clean."""
        if generator is None:
            return super().draw()
        thrown = self.replace(prior=self.prior.draw(generator))
        thrown._coin = branch_of(generator)
        return thrown

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self._project(self.prior.denoise(self._project(x, self._noise(x, sigma)), sigma))

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        mean, vjp = self.prior.linearize(self._project(x, self._noise(x, sigma)), sigma)

        def null(v: Tensor) -> Tensor:
            return v - self._range(self.measurement.operator(v))

        return self._project(mean), lambda v: null(vjp(null(v)))

    def _noise(self, x: Tensor, sigma: Tensor | float) -> Tensor | float:
        if self._coin is None:
            return 0.0
        return level(sigma, x) * normal_like(x, self._coin())

    def _project(self, x: Tensor, noise: Tensor | float = 0.0) -> Tensor:
        return x + self._range(self.measurement.residual(x - noise))

    def _range(self, residual: Tensor) -> Tensor:
        return self.weight * pseudo_inverse(self.measurement.operator, residual, iterations=self.iterations)
