r"""Gaussian laws: the family in which denoising, conditioning and sampling all have a closed form.

With :math:`x_0 \sim N(m, C)` and :math:`x = x_0 + \sigma n`,

.. math::
    D(x, \sigma) = m + J (x - m), \qquad J = C (C + \sigma^2 I)^{-1}, \qquad
    \nabla \log p_\sigma(x) = -(C + \sigma^2 I)^{-1} (x - m),

and :math:`\mathrm{Cov}[x_0 \mid x] = V = \sigma^2 J`.  Given data :math:`y = A x_0 + n`,
:math:`n \sim N(0, R)`, the law is again Gaussian:

.. math:: E[x_0 \mid x, y] = D + V A^H (R + A V A^H)^{-1} (y - A D).

A class whose C is diagonal in a known basis derives from :class:`Diagonalized` and writes only the change of basis.  A
complex law is proper: C is the covariance of each real component, so ``E|x - m|^2 = 2 trace(C)``.

References:
    Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, appendix A.
    Papandreou & Yuille, "Gaussian sampling by local perturbations", NeurIPS 2010 (perturb and MAP).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.solve import conjugate_gradients, inner, warn_unless_solved
from scorefield.measurement import Measurement
from scorefield.operators.basic import finite
from scorefield.portable import move_with
from scorefield.prior import ClosedForm, Vjp, level
from scorefield.randomness import normal_like

ITERATIONS = 1000  # of conjugate gradients; a guard; the tolerance ends it long before


def check_events(measurement: Measurement, event_shape: tuple[int, ...]) -> None:
    """Raise InputError unless the data are of images shaped like the prior's.

    Raises:
        InputError: the operator's images have another shape.
    """
    if measurement.shape != event_shape:
        raise InputError(
            f"The measurement is of images shaped {measurement.shape}, the prior is over {event_shape};"
            " build the operator for the prior's shape."
        )


class Normal(ClosedForm):
    """A Gaussian law over real or complex events; a subclass multiplies by its covariance.

    Args:
        mean: one event, of any shape.
    """

    mean: Tensor
    event_shape: tuple[int, ...]

    def __init__(self, mean: Tensor):
        super().__init__()
        self.register_buffer("mean", finite(torch.as_tensor(mean), "entries of the mean"))
        if self.mean.ndim == 0:
            raise InputError("The mean is a number; an event is at least a vector, so pass shape (1,).")
        self.event_shape = tuple(self.mean.shape)  # pyright: ignore[reportIncompatibleVariableOverride]

    @abstractmethod
    def covary(self, v: Tensor) -> Tensor:
        """``C v`` for v (B, *event)."""

    @abstractmethod
    def shrink(self, v: Tensor, sigma: Tensor | float) -> Tensor:
        """``J v = C (C + sigma^2 I)^-1 v``, the symmetric Jacobian of the denoiser, for v (B, *event)."""

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.mean + self.shrink(self.deviation(x), sigma)

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        return self.denoise(x.detach(), sigma), lambda v: self.shrink(v, sigma)

    def posterior(self, measurement: Measurement) -> Normal:
        """The exact posterior, matrix-free: see :class:`ConditionedGaussian`."""
        return ConditionedGaussian(self, measurement)

    def deviation(self, x: Tensor) -> Tensor:
        """``x - mean``.

        Raises:
            InputError: x is not a batch of events.
        """
        if tuple(x.shape[1:]) != self.event_shape or x.is_complex() != self.mean.is_complex():
            raise InputError(
                f"This prior is over {_kind(self.mean)} events (B, *{self.event_shape}),"
                f" got {_kind(x)} {tuple(x.shape)}; reshape or convert the input."
            )
        return x - self.mean


def _kind(x: Tensor) -> str:
    return "complex" if x.is_complex() else "real"


class Diagonalized(Normal):
    """A Gaussian law whose covariance is diagonal in a unitary basis."""

    @property
    @abstractmethod
    def variances(self) -> Tensor:
        """Eigenvalues of C, >= 0, broadcastable against the modes of one event."""

    @abstractmethod
    def _analyze(self, v: Tensor) -> Tensor:
        """Coefficients of v (B, *event) in the basis."""

    @abstractmethod
    def _synthesize(self, modes: Tensor) -> Tensor:
        """The inverse of ``_analyze``."""

    @property
    def extent(self) -> float:
        return math.sqrt(float(self.variances.double().mean())) or 1.0

    def covary(self, v: Tensor) -> Tensor:
        return self._synthesize(self.variances * self._analyze(v))

    def shrink(self, v: Tensor, sigma: Tensor | float) -> Tensor:
        modes = self._analyze(v)
        total = self.variances + level(sigma, modes).square()
        # a mode of variance 0 is known: it stays at the mean, also in the limit sigma = 0
        return self._synthesize(self.variances / total.clamp_min(torch.finfo(total.dtype).tiny) * modes)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        modes = self._analyze(self.deviation(x))
        return -self._synthesize(modes / self._total(modes, sigma))

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        modes = self._analyze(self.deviation(x))
        total = self._total(modes, sigma)
        components = 2 if self.mean.is_complex() else 1  # each complex mode is two real numbers
        terms = (modes.conj() * modes).real / total + components * torch.log(2 * math.pi * total)
        return -0.5 * terms.flatten(1).sum(1)

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        white = normal_like(self.mean.expand(n, *self.event_shape), generator)
        return self.mean + self._synthesize(self.variances.sqrt() * self._analyze(white))

    def _total(self, modes: Tensor, sigma: Tensor | float) -> Tensor:
        total = self.variances + level(sigma, modes).square()
        if not bool((total > 0).all()):
            raise InputError("A Gaussian with a singular covariance has no density at sigma = 0; ask at sigma > 0.")
        return total


class ConditionedGaussian(Normal):
    """A Gaussian given linear data with Gaussian noise, without a dense matrix: each call is a conjugate-gradient
    solve.

    The law is exact; the arithmetic is accurate to the relative residual of the solve, ``eps^(3/4)`` of the
    dtype (2e-12 in float64, 6e-6 in float32), and a warning says so when that stays above ``eps^(1/2)``.
    ``log_prob`` omits the log-determinant, a constant at each sigma; ``rsample`` perturbs the data and maximizes,
    which gives exact draws.  A second conditioning nests the solves.

    Args:
        prior: any Gaussian law, also one given data.
        measurement: data on its events.

    Raises:
        InputError: the data are not of the prior's events.
    """

    def __init__(self, prior: Normal, measurement: Measurement):
        check_events(measurement, prior.event_shape)
        scan = measurement.whitened
        residual = scan.residual(prior.mean.unsqueeze(0))
        super().__init__((prior.mean + prior.covary(_pull(scan, prior.covary, residual)))[0])
        self.prior, self.measurement, self._scan = prior, measurement, scan

    @property
    def extent(self) -> float:
        return self.prior.extent

    def covary(self, v: Tensor) -> Tensor:
        product = self.prior.covary(v)
        seen = self._scan.operator(product)
        return product - self.prior.covary(_pull(self._scan, self.prior.covary, seen))

    def shrink(self, v: Tensor, sigma: Tensor | float) -> Tensor:
        product = self.prior.shrink(v, sigma)
        seen = self._scan.operator(product)
        return product - self._spread(sigma)(_pull(self._scan, self._spread(sigma), seen))

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        residual = self._scan.residual(self.prior.denoise(x, sigma))
        pulled = _pull(self._scan, self._spread(sigma), residual)
        return self.prior.score(x, sigma) + self.prior.shrink(pulled, sigma)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        residual = self._scan.residual(self.prior.denoise(x, sigma))
        solved = _solve(self._scan, self._spread(sigma), residual)
        return self.prior.log_prob(x, sigma) - inner(residual, solved) / 2

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        x = self.prior.rsample(n, generator)
        residual = self._scan.residual(x)
        residual = residual - normal_like(residual, generator)
        return x + self.prior.covary(_pull(self._scan, self.prior.covary, residual))

    def _spread(self, sigma: Tensor | float) -> Callable[[Tensor], Tensor]:
        return lambda v: level(sigma, v).square() * self.prior.shrink(v, sigma)

    def _apply(self, fn: Callable, recurse: bool = True) -> ConditionedGaussian:
        super()._apply(fn, recurse)
        self.measurement = move_with(self.measurement, fn, self.measurement.y)
        self._scan = self.measurement.whitened
        return self


def _solve(scan: Measurement, spread: Callable[[Tensor], Tensor], residual: Tensor) -> Tensor:
    """``(I + A V A^H)^-1 residual`` of a whitened scan."""
    operator = scan.operator

    def matrix(u: Tensor) -> Tensor:
        return u + operator(spread(operator.H(u)))

    eps = torch.finfo(residual.real.dtype).eps
    solution = conjugate_gradients(matrix, residual, tolerance=eps**0.75, iterations=ITERATIONS)
    warn_unless_solved(residual - matrix(solution), residual, math.sqrt(eps), "A Gaussian posterior")
    return solution


def _pull(scan: Measurement, spread: Callable[[Tensor], Tensor], residual: Tensor) -> Tensor:
    """``A^H (I + A V A^H)^-1 residual`` of a whitened scan."""
    return scan.operator.H(_solve(scan, spread, residual))
