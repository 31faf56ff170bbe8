r"""The twist: an approximation of the likelihood of the data given a noisy image.

The second moment of Tweedie's formula gives :math:`x_0 \mid x \approx N(D, V)` with :math:`V = \sigma^2 J` and no free
parameter, hence

.. math::
    \tilde p(y \mid x) = N(y;\ A D,\ S), \qquad S = R + A V A^H, \qquad
    D_y = D + V A^H S^{-1} (y - A D),

exact under a Gaussian prior, and as :math:`\sigma \to 0` under any: the twist becomes the likelihood.  TDS has r^2 I in
place of V.  Any positive function that ends in the likelihood leaves the particles asymptotically exact; a better one
keeps their weights even.

Few data (m real numbers) take m vector-Jacobian products, with which S is formed and factored.  With many, S is solved
in a Krylov space and its determinant is left out.  It is the same for all images under a Gaussian prior, and in the
whitened form :math:`R^{-1/2} S R^{-1/2} \to I` it disappears as :math:`\sigma \to 0`: a valid twist, but a worse one
where modes explain different shares of the data.

**Caution.**  Where :math:`x_0 \mid x` has several modes, N(D, V) has lighter tails than the likelihood of y: particles
near a mode that explains y, but that V does not reach yet, are discarded, and the few that survive carry its whole
weight.  A share :math:`\epsilon` of a wider twist bounds the ratio of the two, as a defensive proposal does,

.. math::
    \tilde p(y \mid x) = (1 - \epsilon)\, N(y;\ A D,\ S) + \epsilon\, N(y;\ A D,\ S + r^2 A A^H),
    \qquad r^2 = \frac{\sigma^2 e^2}{\sigma^2 + e^2},

where e is the prior's extent and r that of PiGDM; the guided image is :math:`D + \sigma^2 J A^H` times the mean of the
two solutions by their posterior shares.

References:
    Hesterberg, "Weighted average importance sampling and defensive mixture distributions", Technometrics 1995.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError, NoDensity
from scorefield.linalg.parts import as_rows
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.posteriors.base import Posterior
from scorefield.posteriors.mmps import MMPS
from scorefield.prior import Prior, Vjp, level


class Twist(NamedTuple):
    """The twist at images (M, *event)."""

    denoised: Tensor  # D
    guided: Tensor  # D_y
    log: Tensor  # (M,) float64, log of the twist


class Twisted(Posterior):
    r"""The twisted law :math:`\pi_\sigma(x) \propto p_\sigma(x)\, \tilde p(y \mid x)`.

    A density when the prior is one; its ``score`` neglects how V varies with x, as MMPS does.

    Args:
        rank: data of up to this many real numbers are treated densely; more take this many Krylov iterations.
        caution: share of the wider twist, for data that are treated densely.
    """

    def __init__(self, prior: Prior, measurement: Measurement, *, rank: int, caution: float = 0.0):
        super().__init__(prior, measurement)
        self.rank, self.caution = rank, caution

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.at(x, sigma).guided

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma(x) + log twist(x)``: (B,).

        Raises:
            InputError: the prior has no ``log_prob``; the path cannot take its place, because ``score`` is not the
                gradient of this density.
        """
        try:
            density = self.prior.log_prob(x, sigma)
        except NoDensity as error:
            raise InputError(
                f"A Metropolis move of particles needs log_prob, which {type(self.prior).__name__} does not have; give"
                " Particles no move."
            ) from error
        return density + self.at(x, sigma).log.to(x.real.dtype)

    def at(self, x: Tensor, sigma: Tensor | float) -> Twist:
        """The twist at images x (B, *event), sigma ()."""
        denoised, vjp = self.prior.linearize(x, sigma)
        variance = level(sigma, x).square()
        constant = self.measurement.gaussian.log_prob(torch.zeros_like(self.measurement.y)).double()
        weigh = self.dense if count(self.measurement.y) <= self.rank else self.krylov
        guided, log = weigh(denoised, variance, vjp)
        return Twist(denoised, guided, constant + log)

    def dense(self, denoised: Tensor, variance: Tensor, vjp: Vjp) -> tuple[Tensor, Tensor]:
        """``D_y`` and the log of the twist (but for a constant), from the covariance of the data as a matrix."""
        scan = self.measurement.whitened
        pulled = scan.operator.H(units(scan.y)).to(denoised.dtype)  # (m, *event): rows of R^-1/2 A
        columns = torch.stack([variance * vjp(row.expand_as(denoised)) for row in pulled])
        matrix = torch.stack([as_rows(scan.operator(column)) for column in columns], dim=-1).double()  # (B, m, m)
        matrix, residual = (matrix + matrix.mT) / 2, as_rows(scan.residual(denoised)).double()
        solved, log = _weigh(matrix, residual)
        if self.caution > 0:
            rows, level = as_rows(pulled).double(), 1 / (1 / variance.double() + self.prior.extent**-2)
            wide = _weigh(matrix + level.reshape(-1, 1, 1) * (rows @ rows.mT), residual)
            logs = torch.stack([log + math.log1p(-self.caution), wide[1] + math.log(self.caution)])
            solved, log = torch.lerp(solved, wide[0], logs.softmax(0)[1].unsqueeze(-1)), logs.logsumexp(0)
        shaped = solved.to(denoised.real.dtype).T.reshape(len(pulled), -1, *[1] * (denoised.ndim - 1))
        return denoised + (shaped * columns).sum(0), log

    def krylov(self, denoised: Tensor, variance: Tensor, vjp: Vjp) -> tuple[Tensor, Tensor]:
        """``D_y`` and the log of the twist without its determinant, from ``rank`` Krylov iterations."""
        residual = self.measurement.residual(denoised)
        matched = MMPS(self.prior, self.measurement, iterations=self.rank)
        solved, pulled = matched.solve(variance, vjp, residual)
        return denoised + variance * pulled, -0.5 * inner(residual, solved).double()


def _weigh(matrix: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """``(I + M)^-1 r`` (B, m) and ``log N(r; 0, I + M)`` but for a constant (B,), of symmetric matrices (B, m, m)."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=0) + 1  # a covariance has no negative eigenvalue; a learned Jacobian might
    modes = (vectors.mT @ residual.unsqueeze(-1)).squeeze(-1)
    solved = (vectors @ (modes / values).unsqueeze(-1)).squeeze(-1)
    return solved, -0.5 * (modes.square() / values + values.log()).sum(-1)


def count(y: Tensor) -> int:
    """Real numbers in the data."""
    return y.numel() * (2 if y.is_complex() else 1)


def units(y: Tensor) -> Tensor:
    """Unit vectors of the data's real components, shaped (m, *data)."""
    m = count(y)
    identity = torch.eye(m, dtype=y.real.dtype, device=y.device)
    if y.is_complex():
        return torch.view_as_complex(identity.reshape(m, *y.shape[1:], 2))
    return identity.reshape(m, *y.shape[1:])
