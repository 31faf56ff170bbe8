"""Benches: small inverse problems with exact posteriors, on which a sampler is measured in seconds.

Each bench is a function that returns float64 objects, so that the laws of the tests and the table of the documentation
use the same problems.  Every bench has a ``prior``, a ``measurement``, the exact ``posterior`` (with ``rsample``), and
a ``schedule`` from well above the width of the prior to well below that of the posterior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix, Operator, RealToComplex, birdcage, cartesian_mask, mri, parallel_beam
from scorefield.priors.gaussian import Gaussian
from scorefield.priors.mixture import GaussianMixture
from scorefield.priors.normal import ConditionedGaussian
from scorefield.priors.stationary import StationaryGaussian
from scorefield.schedules import Karras


@dataclass(frozen=True)
class GaussianBench:
    """A Gaussian in 8 dimensions, measured by 4 numbers, and its posterior by the textbook formula.

    Attributes:
        truth: (8,), the draw that was measured.
        matrix: (4, 8).
        mean: (8,), of the posterior, ``m + K (y - A m)``.
        covariance: (8, 8), of the posterior, ``S - K A S``.
    """

    prior: Gaussian
    measurement: Measurement
    truth: Tensor
    matrix: Tensor
    mean: Tensor
    covariance: Tensor
    schedule: Karras

    @property
    def posterior(self) -> Gaussian:
        """N(mean, covariance)."""
        return Gaussian(self.mean, (self.covariance + self.covariance.T) / 2)


@dataclass(frozen=True)
class MixtureBench:
    """A mixture of Gaussians, measured by a few numbers, and its posterior, which is a mixture too.

    Attributes:
        weights: of the posterior's modes, (K,).
    """

    prior: GaussianMixture
    measurement: Measurement
    posterior: GaussianMixture
    weights: Tensor
    schedule: Karras


@dataclass(frozen=True)
class FieldBench:
    """A stationary Gaussian image, measured by a scanner; the posterior is exact by conjugate gradients.

    Attributes:
        truth: (1, size, size), the draw that was measured.
    """

    prior: StationaryGaussian
    measurement: Measurement
    posterior: ConditionedGaussian
    truth: Tensor
    schedule: Karras


def tb_g(seed: int = 0) -> GaussianBench:
    """TB-G: eigenvalues 2 to 0.02 in a random basis, A iid N(0, 1/8), noise 0.1.

    Every method that is exact for Gaussians is exact here.
    """
    normal = _normal(seed)
    basis = torch.linalg.qr(normal(8, 8)).Q
    spectrum = torch.logspace(0, -2, 8, dtype=torch.float64) * 2
    covariance, mean, matrix = basis @ spectrum.diag() @ basis.T, normal(8), normal(4, 8) / 8**0.5
    truth = mean + basis @ (spectrum.sqrt() * normal(8))
    y = matrix @ truth + 0.1 * normal(4)
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T + 0.01 * torch.eye(4).double())
    return GaussianBench(
        prior=Gaussian(mean, (covariance + covariance.T) / 2),
        measurement=Measurement(y, Matrix(matrix), White(0.1)),
        truth=truth,
        matrix=matrix,
        mean=mean + gain @ (y - matrix @ mean),
        covariance=covariance - gain @ matrix @ covariance,
        schedule=Karras(0.003, 60.0),
    )


def tb_m() -> MixtureBench:
    """TB-M: weights (.3, .3, .4), variance 1/4, the first coordinate measured as 1 with noise 0.5.

    The posterior has weights (.0001, .6135, .3864), which no Gaussian approximation gives.
    """
    prior = GaussianMixture(
        torch.tensor([[-2, -1.5], [1.5, 2], [2, -2]], dtype=torch.float64),
        torch.full((3,), 0.25, dtype=torch.float64),
        torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64),
    )
    operator = Matrix(torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    y = torch.ones(1, dtype=torch.float64)
    measurement = Measurement(y, operator, White(0.5))
    # w_k N(y; mu_k1, 1/4 + 1/4), written out, so that no code under test is involved
    evidence = prior.weights * torch.exp(-((y - prior.means[:, 0]) ** 2) / (2 * 0.5))
    return MixtureBench(
        prior, measurement, prior.posterior(measurement), evidence / evidence.sum(), Karras(0.005, 40.0)
    )


def mcg_mixture(d: int = 8, m: int = 2, seed: int = 0) -> MixtureBench:
    """The bench of MCG-diff: 25 modes in d dimensions, measured by m numbers.

    The modes lie on a 5 x 5 grid in the plane of even and odd coordinates.  Means (8i, 8j, 8i, 8j, ...) for i, j in
    -2..2, unit covariances, weights proportional to squared standard normals.  A has random singular vectors and
    singular values uniform in [0, 1]; the noise is a uniform fraction of the largest.

    References:
        Cardoso, Janati, Le Corff, Moulines, ICLR 2024, arXiv 2308.07983 (d = 8, 80, 800; m = 1, 2, 4).
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    grid = torch.arange(-2, 3, dtype=torch.float64) * 8
    means = torch.cartesian_prod(grid, grid).repeat(1, d // 2)
    weights = normal(25).square()
    prior = GaussianMixture(means, torch.ones(1, dtype=torch.float64), weights / weights.sum())
    left, _, right = torch.linalg.svd(normal(m, d), full_matrices=False)
    singular = torch.rand(m, generator=generator, dtype=torch.float64)
    std = float(torch.rand((), generator=generator, dtype=torch.float64) * singular.max())
    operator = Matrix(left @ singular.diag() @ right)
    truth = prior.rsample(1, generator)
    measurement = Measurement(operator(truth) + std * normal(1, m), operator, White(std))
    posterior = prior.posterior(measurement)
    return MixtureBench(prior, measurement, posterior, posterior.weights, Karras(0.02, 60.0 * math.sqrt(d)))


def lattice(size: int = 3, coupling: float = 0.4, seed: int = 0) -> MixtureBench:
    r"""TB-ENUM: an Ising field on a periodic lattice, with every state enumerated and half of the sites measured.

    Spins s in {-1, 1} have :math:`p(s) \propto \exp(\beta \sum_{i \sim j} s_i s_j)`.  N(0, 0.2^2) is added to each, so
    that they have a density.  Every second site is measured with noise 0.7.  A lattice of size 3 has 512 states.

    References:
        Geman & Geman, IEEE T-PAMI 1984.
    """
    generator = torch.Generator().manual_seed(seed)
    states = torch.tensor(list(product((-1.0, 1.0), repeat=size**2)), dtype=torch.float64)
    fields = states.reshape(-1, size, size)
    bonds = (fields * (fields.roll(1, 1) + fields.roll(1, 2))).sum((1, 2))
    prior = GaussianMixture(states, torch.full((1,), 0.04, dtype=torch.float64), (coupling * bonds).softmax(0))
    operator = Matrix(torch.eye(size**2, dtype=torch.float64)[::2])
    clean = operator(prior.rsample(1, generator))
    noise = White(0.7)
    measurement = Measurement(clean + noise.sample(clean, generator), operator, noise)
    posterior = prior.posterior(measurement)
    return MixtureBench(prior, measurement, posterior, posterior.weights, Karras(0.01, 40.0))


def field_mri(size: int = 64, seed: int = 0) -> FieldBench:
    """A stationary Gaussian image, measured by fourfold undersampled MRI with 4 coils."""
    shape = (1, size, size)
    mask = cartesian_mask(shape, 4.0, generator=torch.Generator().manual_seed(seed))
    maps = birdcage(4, shape).to(torch.complex128)
    return _field(mri(mask, maps) @ RealToComplex(shape), 0.2, size, seed)


def field_ct(size: int = 64, seed: int = 0) -> FieldBench:
    """A stationary Gaussian image, measured by parallel-beam CT from 16 views."""
    angles = torch.arange(16, dtype=torch.float64) * math.pi / 16
    operator = parallel_beam((1, size, size), angles, math.ceil(math.sqrt(2) * size) + 2)
    return _field(operator, 2.0, size, seed)


def _field(operator: Operator, std: float, size: int, seed: int) -> FieldBench:
    """The bench of pixels of variance 1 whose power falls as the cube of the frequency beyond 6 periods an image."""
    generator = torch.Generator().manual_seed(seed)
    frequency = torch.arange(size, dtype=torch.float64) - size // 2
    radius = (frequency.square().unsqueeze(1) + frequency.square()).sqrt()
    power = (1 + (radius / 6).square()).pow(-1.5)
    prior = StationaryGaussian(torch.zeros(1, size, size, dtype=torch.float64), power / power.mean())
    truth = prior.rsample(1, generator)
    clean, noise = operator(truth), White(std)
    measurement = Measurement(clean + noise.sample(clean, generator), operator, noise)
    return FieldBench(prior, measurement, ConditionedGaussian(prior, measurement), truth[0], Karras(0.01, 40.0))


def _normal(seed: int):
    """A function that draws standard normal numbers from one stream."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return normal
