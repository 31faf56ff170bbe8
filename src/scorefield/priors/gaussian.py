"""Gaussian priors: dense and diagonal covariances.

Their mathematics is in :mod:`scorefield.priors.normal`; this module has the two classes, and the exact posteriors
of several dense Gaussians given the same data, which mixtures need too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import as_rows
from scorefield.measurement import Measurement
from scorefield.operators.basic import finite
from scorefield.priors.normal import Diagonalized, check_events


def eigenpairs(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (K, d), clear of round-off below 0, and eigenvectors (K, d, d) of covariances (K, d, d).

    Raises:
        InputError: a matrix is not symmetric, or has a negative eigenvalue.
    """
    size = covariances.abs().amax((-2, -1), keepdim=True)
    eps = torch.finfo(covariances.dtype).eps
    if bool(((covariances - covariances.mT).abs() > math.sqrt(eps) * size).any()):
        raise InputError("The covariance is not symmetric; pass (C + C.T) / 2 if that is what is meant.")
    values, vectors = torch.linalg.eigh((covariances + covariances.mT) / 2)
    lowest = values[..., 0]
    if bool((lowest < -10 * eps * values.shape[-1] * size.flatten()).any()):
        raise InputError(
            f"The covariance is not positive semi-definite (smallest eigenvalue {lowest.min().item():g});"
            " add a multiple of the identity or repair the estimate."
        )
    # a variance of round-off size is 0: at sigma = 0 it would otherwise count as a direction that is free
    floor = 4 * eps * math.sqrt(values.shape[-1]) * values[..., -1:]
    return torch.where(values > floor, values, 0), vectors


class Update(NamedTuple):
    """The posteriors of K Gaussians given the same data."""

    means: Tensor  # (K, *event)
    covariances: Tensor  # (K or 1, d, d)
    log_fit: Tensor  # (K,), the log evidence without what is the same for all
    constant: Tensor  # ()

    @property
    def log_evidence(self) -> Tensor:
        """``log p(y)`` under each of the Gaussians, (K,)."""
        return self.constant + self.log_fit


def update(means: Tensor, roots: Tensor, measurement: Measurement) -> Update:
    r"""The exact posteriors of ``N(m_k, L_k L_k^T)`` given ``y``, by the dense matrix of the operator.

    With :math:`W = R^{-1/2} A L` and :math:`M = I + W^T W`, the covariance is :math:`L M^{-1} L^T`: symmetric
    and positive whatever the noise, also when C is singular (the textbook ``C - K A C`` loses both to
    cancellation).

    Args:
        means: (K, *event), real.
        roots: L, (K, d, d), or (1, d, d) when all share one covariance.
        measurement: data may be complex; they are viewed as real pairs.
    """
    scan = measurement.whitened
    d = roots.shape[-1]
    identity = torch.eye(d, dtype=means.dtype, device=means.device)
    columns = as_rows(scan.operator(identity.reshape(d, *means.shape[1:])))  # (d, m): A^T R^-1/2
    residual = as_rows(scan.residual(means)).unsqueeze(-1)  # (K, m, 1)
    w = roots.mT @ columns  # (K, d, m): W^T
    cholesky = torch.linalg.cholesky(identity + w @ w.mT)
    shift = torch.cholesky_solve(w @ residual, cholesky)
    half = torch.linalg.solve_triangular(cholesky, roots.mT, upper=False)
    # r^T (I + W W^T)^-1 r as a sum of squares: the misfit that is left and the price of the shift
    misfit = (residual - w.mT @ shift).square().sum((-2, -1)) + shift.square().sum((-2, -1))
    constant = measurement.gaussian.log_prob(torch.zeros_like(measurement.y))[0]
    log_det = cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    moved = means + (roots @ shift).reshape(means.shape)
    return Update(moved, half.mT @ half, -misfit / 2 - log_det, constant)


class Gaussian(Diagonalized):
    """A Gaussian with a dense covariance, over real events.

    Args:
        mean: one event, of any shape, with d elements.
        covariance: (d, d) over the flattened event, symmetric and positive semi-definite.

    Raises:
        InputError: NaN or infinite values, a complex mean, a wrong shape, or not a covariance.
    """

    covariance: Tensor
    eigenvalues: Tensor
    basis: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor):
        covariance = finite(torch.as_tensor(covariance), "entries of the covariance")
        mean = torch.as_tensor(mean)
        if mean.is_complex() or covariance.is_complex():
            raise InputError("Gaussian is over real events; lift one over two channels with priors.algebra.AsComplex.")
        dtype = torch.promote_types(mean.dtype, covariance.dtype)
        super().__init__(mean.to(dtype))
        d = self.mean.numel()
        if covariance.shape != (d, d):
            raise InputError(
                f"A mean of {d} elements needs a covariance ({d}, {d}), got {tuple(covariance.shape)};"
                " DiagonalGaussian takes variances."
            )
        self.register_buffer("covariance", covariance.to(self.mean))
        eigenvalues, basis = eigenpairs(self.covariance.unsqueeze(0))
        self.register_buffer("eigenvalues", eigenvalues[0])
        self.register_buffer("basis", basis[0])

    @property
    def variances(self) -> Tensor:
        return self.eigenvalues

    def _analyze(self, v: Tensor) -> Tensor:
        return v.flatten(1) @ self.basis

    def _synthesize(self, modes: Tensor) -> Tensor:
        return (modes @ self.basis.T).reshape(-1, *self.event_shape)

    def posterior(self, measurement: Measurement) -> Gaussian:
        """The exact posterior, again dense; the operator is applied to the d unit events once."""
        after = self._update(measurement)
        return Gaussian(after.means[0], after.covariances[0])

    def log_evidence(self, measurement: Measurement) -> Tensor:
        """``log p(y) = log N(y; A m, R + A C A^H)``, the density of the data under this prior: ()."""
        return self._update(measurement).log_evidence[0]

    def _update(self, measurement: Measurement) -> Update:
        check_events(measurement, self.event_shape)
        return update(self.mean.unsqueeze(0), (self.basis * self.eigenvalues.sqrt()).unsqueeze(0), measurement)


class DiagonalGaussian(Diagonalized):
    """A Gaussian with independent elements, real or complex.

    Args:
        mean: one event, of any shape.
        variance: of each real component, >= 0, broadcastable to the mean.

    Raises:
        InputError: NaN or infinite values, a wrong shape, or a negative variance.
    """

    variance: Tensor

    def __init__(self, mean: Tensor, variance: Tensor):
        super().__init__(mean)
        variance = finite(torch.as_tensor(variance), "variances").to(self.mean.real)
        if variance.ndim > self.mean.ndim or any(
            n not in (1, m) for n, m in zip(variance.shape[::-1], self.event_shape[::-1], strict=False)
        ):
            raise InputError(
                f"Variances of shape {tuple(variance.shape)} do not fit a mean of shape {self.event_shape};"
                " give one for each element."
            )
        if bool((variance < 0).any()):
            raise InputError(f"A variance is >= 0, got {variance.min().item():g}; square the standard deviation.")
        self.register_buffer("variance", variance)

    @property
    def variances(self) -> Tensor:
        return self.variance

    def _analyze(self, v: Tensor) -> Tensor:
        return v

    def _synthesize(self, modes: Tensor) -> Tensor:
        return modes
