"""Every closed-form prior, and every way to lift one, over events of two real numbers or one complex number.

Small enough that anything a method claims about one can be compared with quadrature on a :func:`grid`.
"""

from __future__ import annotations

import math

import torch
from registry import with_example
from torch import Tensor

from scorefield import priors
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Operator
from scorefield.prior import Exact, Prior
from scorefield.priors.algebra import AsComplex, IndependentParts
from scorefield.priors.gaussian import DiagonalGaussian, Gaussian
from scorefield.priors.kde import Kde
from scorefield.priors.mixture import GaussianMixture
from scorefield.priors.scaled import Scaled
from scorefield.priors.stationary import StationaryGaussian


def t(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def z(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.complex128)


def rows(x: Tensor) -> Tensor:
    """Events as real vectors (B, 2)."""
    return torch.view_as_real(x).flatten(1) if x.is_complex() else x.flatten(1)


def events(prior: Prior, values: Tensor) -> Tensor:
    """Real vectors (B, 2) as events of the prior; those of one element are complex."""
    shape = prior.event_shape
    assert shape is not None
    if math.prod(shape) == 1:
        return torch.view_as_complex(values.reshape(-1, *shape, 2).contiguous())
    return values.reshape(-1, *shape)


class Pair(Operator):
    """A matrix (m, 2), real or complex, on the two real numbers of an event."""

    def __init__(self, prior: Prior, matrix: Tensor):
        assert prior.event_shape is not None
        super().__init__(prior.event_shape, (len(matrix),))
        self.prior, self.matrix = prior, matrix

    def _apply(self, x: Tensor) -> Tensor:
        return rows(x).to(self.matrix.dtype) @ self.matrix.T

    def _adjoint(self, y: Tensor) -> Tensor:
        return events(self.prior, (y @ self.matrix.conj()).real)


def seen(prior: Prior) -> Measurement:
    return Measurement(t([0.7]), Pair(prior, t([[1.0, 0.6]])), White(0.8))


def seen_complex(prior: Prior) -> Measurement:
    return Measurement(z([0.2 - 0.5j, 0.4j]), Pair(prior, z([[0.5 - 0.3j, 1j], [0.2, 0.7 + 0.1j]])), White(0.9))


def gaussian(shape: tuple[int, ...] = (2,)) -> Gaussian:
    return Gaussian(t([0.3, -0.2]).reshape(shape), t([[1.0, 0.5], [0.5, 0.6]]))


def diagonal() -> DiagonalGaussian:
    return DiagonalGaussian(t([0.3, -0.2]), t([0.5, 1.1]))


def diagonal_complex() -> DiagonalGaussian:
    return DiagonalGaussian(z([[0.3 - 0.2j]]), t([[0.7]]))


def mixture(shape: tuple[int, ...] = (2,)) -> GaussianMixture:
    means = t([[-1, -0.8], [0.8, 1], [1, -1]]).reshape(3, *shape)
    return GaussianMixture(means, t([0.2, 0.3, 0.4]), t([0.3, 0.3, 0.4]))


def dense_mixture() -> GaussianMixture:
    covariances = t([[[0.5, 0.2], [0.2, 0.3]], [[0.3, -0.1], [-0.1, 0.6]]])
    return GaussianMixture(t([[-1, -0.8], [0.8, 1]]), covariances, t([0.4, 0.6]))


def kde() -> Kde:
    points = torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return Kde(points, 0.4, chunk=7)


def kde_complex() -> Kde:
    points = torch.randn(9, 1, 1, dtype=torch.complex128, generator=torch.Generator().manual_seed(3))
    return Kde(points, 0.5, weights=torch.arange(1, 10).double() / 45, chunk=4)


def conditioned() -> Prior:
    return diagonal().posterior(seen(diagonal()))


def conditioned_complex() -> Prior:
    return diagonal_complex().posterior(seen_complex(diagonal_complex()))


def stationary() -> StationaryGaussian:
    return StationaryGaussian(t([[0.3, -0.2]]), t([[0.4, 1.2]]))


def parts() -> IndependentParts:
    return IndependentParts(GaussianMixture(t([[[-0.8]], [[0.9]]]), t([0.3, 0.4]), t([0.3, 0.7])))


PRIORS = {
    "gaussian": gaussian,
    "gaussian-image": lambda: gaussian((1, 2, 1)),
    "diagonal": diagonal,
    "diagonal-complex": diagonal_complex,
    "stationary": stationary,
    "stationary-complex": lambda: StationaryGaussian(z([[0.1 + 0.4j]]), t([0.8])),
    "conditioned": conditioned,
    "conditioned-complex": conditioned_complex,
    "mixture": mixture,
    "mixture-dense": dense_mixture,
    "mixture-posterior": lambda: dense_mixture().posterior(seen(dense_mixture())),
    "kde": kde,
    "kde-complex": kde_complex,
    "kde-posterior": lambda: kde().posterior(seen(kde())),
    "scaled": lambda: Scaled(mixture(), 0.7, 0.3),
    "scaled-complex": lambda: Scaled(diagonal_complex(), 0.7, 0.3),
    "as-complex": lambda: AsComplex(mixture((2, 1))),
    "independent-parts": parts,
}

for own in with_example(priors, Exact, {type(make()) for make in PRIORS.values()}):
    size = math.prod(own.example().event_shape or (0,))
    assert size == 2, f"{own.__name__}.example() has events of {size} numbers; take two, that quadrature can integrate."
    PRIORS[own.__name__] = own.example
NO_POSTERIOR = {"kde-complex", "independent-parts"}
UNNORMALIZED = {"conditioned", "conditioned-complex"}  # documented: up to a constant at each sigma


def some(prior: Prior, n: int = 5, seed: int = 1) -> Tensor:
    values = torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return events(prior, 1.2 * values)


def grid() -> Tensor:
    axis = torch.arange(-8, 8.01, 0.1, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)  # all densities here are smooth on the scale .1 and negligible at 8


def log_density(prior: Prior, values: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
    return prior.log_prob(events(prior, values), sigma)  # type: ignore[operator]
