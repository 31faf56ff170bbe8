from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Mask, Matrix
from scorefield.priors import normal
from scorefield.priors.gaussian import DiagonalGaussian, Gaussian
from scorefield.priors.normal import ConditionedGaussian

LEVELS = torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def spd(d: int) -> Tensor:
    a = randn(d, d, seed=4)
    return a @ a.T / d + 0.2 * torch.eye(d, dtype=torch.float64)


def test_an_image_is_its_flattened_vector():
    mean, covariance, x = randn(2, 1, 3), spd(6), randn(3, 2, 1, 3, seed=1)
    image, vector = Gaussian(mean, covariance), Gaussian(mean.flatten(), covariance)
    assert image.event_shape == (2, 1, 3)
    close(image.score(x, LEVELS).flatten(1), vector.score(x.flatten(1), LEVELS))
    close(image.denoise(x, LEVELS).flatten(1), vector.denoise(x.flatten(1), LEVELS))
    close(image.log_prob(x, LEVELS), vector.log_prob(x.flatten(1), LEVELS))
    close(image.covary(x).flatten(1), x.flatten(1) @ covariance)
    assert image.rsample(4).shape == (4, 2, 1, 3)


@pytest.mark.parametrize("shape", [(2, 2, 3), (3,), (1, 3), (1, 1, 1)])
def test_diagonal_is_dense_with_a_diagonal_matrix(shape):
    mean, x = randn(2, 2, 3), randn(3, 2, 2, 3, seed=1)
    variance = randn(*shape, seed=2).exp()
    diagonal = DiagonalGaussian(mean, variance)
    dense = Gaussian(mean, variance.expand(2, 2, 3).flatten().diag())
    close(diagonal.score(x, LEVELS), dense.score(x, LEVELS))
    close(diagonal.denoise(x, LEVELS), dense.denoise(x, LEVELS))
    close(diagonal.log_prob(x, LEVELS), dense.log_prob(x, LEVELS))
    close(diagonal.covary(x), dense.covary(x))


def masked(noise: float = 0.3) -> Measurement:
    operator = Mask((randn(2, 2, 3, seed=5) > 0).double(), (2, 2, 3))
    return Measurement(randn(2, 2, 3, seed=6) * operator.mask, operator, White(noise))


def test_matrix_free_posterior_is_the_dense_one():
    mean, variance, x = randn(2, 2, 3), randn(2, 2, 3, seed=2).exp(), randn(3, 2, 2, 3, seed=1)
    free = DiagonalGaussian(mean, variance).posterior(masked())
    dense = Gaussian(mean, variance.flatten().diag()).posterior(masked())
    assert isinstance(free, ConditionedGaussian)
    close(free.mean, dense.mean)
    close(free.denoise(x, LEVELS), dense.denoise(x, LEVELS))
    close(free.score(x, LEVELS), dense.score(x, LEVELS))
    close(free.covary(x), dense.covary(x))
    close(free.linearize(x, LEVELS)[1](x), dense.linearize(x, LEVELS)[1](x))
    for sigma in LEVELS:  # unnormalized: compare differences at one level
        gap = free.log_prob(x, sigma) - dense.log_prob(x, sigma)
        close(gap, gap[:1].expand(3))


def test_matrix_free_posterior_draws():
    prior, n = DiagonalGaussian(randn(2, 2, 3), randn(2, 2, 3, seed=2).exp()), 20_000
    dense = Gaussian(prior.mean, prior.variance.flatten().diag()).posterior(masked())
    draws = prior.posterior(masked()).rsample(n, torch.Generator().manual_seed(0))
    gap = (draws - dense.mean).flatten(1)
    variances = dense.covariance.diagonal()
    assert bool((gap.mean(0).abs() < 5 * (variances / n).sqrt()).all())
    error = ((variances[:, None] * variances + dense.covariance.square()) / n).sqrt()
    assert bool(((gap.T @ gap / n - dense.covariance).abs() < 5 * error).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_log_evidence(dtype):
    prior, matrix, y = (
        Gaussian(randn(6), spd(6)),
        randn(4, 6, seed=7, dtype=dtype),
        randn(4, seed=8, dtype=dtype),
    )
    real = matrix
    data, mean = y, (matrix @ prior.mean.to(dtype))
    if dtype.is_complex:  # the textbook formula on real and imaginary parts
        real = torch.cat([matrix.real, matrix.imag])
        data, mean = torch.cat([y.real, y.imag]), torch.cat([mean.real, mean.imag])
    law = torch.distributions.MultivariateNormal(
        mean, real @ prior.covariance @ real.T + 0.49 * torch.eye(len(real), dtype=torch.float64)
    )
    operator = ComplexRows(matrix) if dtype.is_complex else Matrix(matrix)
    measurement = Measurement(y, operator, White(0.7))
    close(prior.log_evidence(measurement), law.log_prob(data))
    posterior = prior.posterior(measurement)
    precision = torch.linalg.inv(prior.covariance) + real.T @ real / 0.49
    close(posterior.covariance, torch.linalg.inv(precision))
    close(precision @ (posterior.mean - prior.mean), real.T @ (data - mean) / 0.49)


class ComplexRows(Matrix):
    """A complex matrix on real vectors."""

    def _apply(self, x: Tensor) -> Tensor:
        return super()._apply(x + 0j)

    def _adjoint(self, y: Tensor) -> Tensor:
        return super()._adjoint(y).real


def test_a_singular_covariance_is_a_law_on_a_subspace():
    u = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    prior = Gaussian(torch.ones(3, dtype=torch.float64), 4 * torch.outer(u, u))
    x = randn(3, 3, seed=1)
    close(prior.denoise(x, LEVELS), 1 + (4 / (4 + LEVELS.square()) * ((x - 1) @ u)).unsqueeze(1) * u)
    draws = prior.rsample(5) - 1
    close(draws, (draws @ u).unsqueeze(1) * u, 1e-7)
    posterior = prior.posterior(Measurement(torch.ones(1).double(), Matrix(torch.eye(3)[:1].double()), White(0.5)))
    gain = 4 * 0.36 / (4 * 0.36 + 0.25)
    close(posterior.covariance, 4 * (1 - gain) * torch.outer(u, u))
    for call in (prior.score, prior.log_prob):
        assert call(x, 0.1).isfinite().all()
        with pytest.raises(InputError, match="singular"):
            call(x, 0.0)


def test_nearly_noiseless_data_leave_a_covariance():
    prior, matrix = Gaussian(randn(6), spd(6)), randn(4, 6, seed=7)
    y = matrix @ randn(6, seed=9)
    posterior = prior.posterior(Measurement(y, Matrix(matrix), White(1e-7)))
    close(matrix @ posterior.mean, y, 1e-10)
    assert torch.equal(posterior.covariance, posterior.covariance.T)
    assert posterior.eigenvalues.min() >= 0


def test_precision_is_promoted():
    covariance = spd(3)
    assert Gaussian(torch.zeros(3), covariance).mean.dtype == torch.float64
    close(Gaussian(torch.zeros(3), covariance).covariance, covariance, 0)


def test_an_unfinished_solve_is_told(monkeypatch):
    prior = DiagonalGaussian(randn(6), randn(6, seed=2).exp())
    measurement = Measurement(randn(4, seed=3), Matrix(randn(4, 6, seed=7)), White(0.1))
    monkeypatch.setattr(normal, "ITERATIONS", 1)
    with pytest.warns(RuntimeWarning, match="relative residual"):
        prior.posterior(measurement)


def test_the_measurement_moves_with_its_posterior():
    prior = DiagonalGaussian(randn(6), randn(6, seed=2).exp())
    posterior = prior.posterior(Measurement(randn(4, seed=3), Matrix(randn(4, 6, seed=7)), White(0.1)))
    moved = posterior.to("meta")
    assert moved.mean.device.type == moved.measurement.y.device.type == "meta"


@pytest.mark.parametrize(
    ("mean", "covariance", "sentence"),
    [
        (torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "not positive semi-definite"),
        (torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (torch.zeros(2), torch.eye(3), "covariance"),
        (torch.zeros(2), torch.ones(2), "DiagonalGaussian"),
        (torch.tensor([0.0, torch.nan]), torch.eye(2), "NaN"),
        (torch.zeros(2), torch.eye(2) * torch.inf, "NaN or infinite"),
        (torch.zeros(2) + 0j, torch.eye(2), "AsComplex"),
        (torch.tensor(0.0), torch.eye(1), "vector"),
    ],
)
def test_gaussian_refuses(mean, covariance, sentence):
    with pytest.raises(InputError, match=sentence):
        Gaussian(mean, covariance)


@pytest.mark.parametrize(
    ("variance", "sentence"),
    [
        (torch.tensor([1.0, -1.0]), ">= 0"),
        (torch.ones(3), "do not fit"),
        (torch.ones(1, 2), "do not fit"),
        (torch.tensor([1.0, torch.nan]), "NaN"),
    ],
)
def test_diagonal_refuses(variance, sentence):
    with pytest.raises(InputError, match=sentence):
        DiagonalGaussian(torch.zeros(2), variance)
