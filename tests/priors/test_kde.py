from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity, Matrix
from scorefield.priors.kde import Kde
from scorefield.priors.mixture import GaussianMixture

LEVELS = torch.tensor([0.1, 0.3, 2.0], dtype=torch.float64)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("chunk", [1, 4, 11, 100])
def test_is_the_mixture_in_chunks_of_any_size(chunk):
    points, x = randn(11, 1, 2, 3), randn(3, 1, 2, 3, seed=1)
    weights = torch.arange(1, 12, dtype=torch.float64) / 66
    kde = Kde(points, 0.4, weights=weights, chunk=chunk)
    mixture = GaussianMixture(points, torch.tensor([0.16], dtype=torch.float64), weights)
    close(kde.log_prob(x, LEVELS), mixture.log_prob(x, LEVELS))
    close(kde.score(x, LEVELS), mixture.score(x, LEVELS))
    close(kde.denoise(x, LEVELS), mixture.denoise(x, LEVELS))
    close(kde.linearize(x, LEVELS)[1](x), mixture.linearize(x, LEVELS)[1](x))


def test_points_weigh_the_same_by_default():
    points, x = randn(11, 3), randn(3, 3, seed=1)
    close(Kde(points, 0.4).log_prob(x), Kde(points, 0.4, weights=torch.ones(11).double() / 11).log_prob(x))


def test_a_complex_point_is_two_real_ones():
    points, x = randn(9, 1, 2, dtype=torch.complex128), randn(3, 1, 2, seed=1, dtype=torch.complex128)
    kde, flat = Kde(points, 0.4), Kde(torch.view_as_real(points).flatten(1), 0.4)
    rows = torch.view_as_real(x).flatten(1)
    close(kde.log_prob(x, LEVELS), flat.log_prob(rows, LEVELS))
    close(torch.view_as_real(kde.score(x, LEVELS)).flatten(1), flat.score(rows, LEVELS))
    close(torch.view_as_real(kde.denoise(x, LEVELS)).flatten(1), flat.denoise(rows, LEVELS))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128, torch.float32])
def test_without_bandwidth_it_returns_training_images_to_the_bit(dtype):
    points = randn(6, 1, 2, 2, dtype=dtype)
    points[0, 0, 0, 0] = -0.0
    prior = Kde(points, 0.0)
    draws = prior.rsample(40, torch.Generator().manual_seed(1))
    bits = {bytes(torch.view_as_real(p + 0j if not p.is_complex() else p).numpy().tobytes()) for p in points}
    assert {bytes(torch.view_as_real(d + 0j if not d.is_complex() else d).numpy().tobytes()) for d in draws} == bits
    near = points + 1e-4 * randn(6, 1, 2, 2, seed=2, dtype=dtype)
    assert torch.equal(prior.denoise(near, 1e-3), points)  # all other weights underflow to 0


def test_weights_of_the_draws():
    weights, n = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64), 20_000
    draws = Kde(torch.arange(3.0).unsqueeze(1), 0.0, weights=weights).rsample(n, torch.Generator().manual_seed(0))
    frequency = torch.stack([(draws == i).double().mean() for i in range(3)])
    assert bool(((frequency - weights).abs() < 5 * (weights * (1 - weights) / n).sqrt()).all())


def test_far_out_the_nearest_point_wins():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    x = torch.tensor([[1e6, 0.0], [0.0, 1e6], [-1e6, -1e6]], dtype=torch.float64)
    assert torch.equal(Kde(points, 0.0).denoise(x, 0.5), points[[1, 2, 0]])


def test_empirical_posterior_reweights_by_the_likelihood():
    points = randn(7, 3)
    measurement = Measurement(randn(2, seed=2), Matrix(randn(2, 3, seed=3)), White(0.5))
    weights = torch.arange(1, 8, dtype=torch.float64) / 28
    posterior = Kde(points, 0.0, weights=weights, chunk=3).posterior(measurement)
    assert isinstance(posterior, Kde)
    misfit = (measurement.y - points @ measurement.operator.A.T).square().sum(1)
    likelihood = weights * torch.exp(-misfit / 0.5)
    close(posterior.weights, likelihood / likelihood.sum())
    assert torch.equal(posterior.points, points)
    # it is the limit of small bandwidths
    x = randn(4, 3, seed=4)
    small = Kde(points, 1e-5, weights=weights).posterior(measurement)
    close(small.denoise(x, 0.7), posterior.denoise(x, 0.7), 1e-6)


def test_a_chunk_without_weight_is_harmless():
    points, x = randn(9, 2), randn(4, 2, seed=1).requires_grad_()
    weights = torch.tensor([0.0, 0, 0, 0.5, 0.25, 0.25, 0, 0, 0], dtype=torch.float64)
    kde, few = Kde(points, 0.4, weights=weights, chunk=3), Kde(points[3:6], 0.4, weights=weights[3:6])
    close(kde.score(x, 0.2), few.score(x, 0.2))
    (gradient,) = torch.autograd.grad(kde.log_prob(x).sum(), x)
    close(gradient, few.score(x, 0.0).detach())


def test_gradients_are_finite_on_a_training_point():
    points = randn(5, 3)
    _, vjp = Kde(points, 0.4).linearize(points, 0.2)
    assert vjp(randn(5, 3, seed=1)).isfinite().all()


def test_no_bandwidth_no_clean_density():
    prior, x = Kde(randn(5, 3), 0.0), randn(2, 3, seed=1)
    for call in (prior.score, prior.denoise, prior.log_prob):
        with pytest.raises(InputError, match="bandwidth 0"):
            call(x, 0.0)


def test_a_complex_posterior_needs_bandwidth_zero():
    points = randn(5, 1, 2, dtype=torch.complex128)
    measurement = Measurement(points[0], Identity((1, 2)), White(0.5))
    assert Kde(points, 0.0).posterior(measurement).weights.argmax() == 0
    with pytest.raises(InputError, match="AsComplex"):
        Kde(points, 0.1).posterior(measurement)


@pytest.mark.parametrize(
    ("points", "bandwidth", "options", "sentence"),
    [
        (torch.tensor([[0.0], [torch.nan]]), 0.1, {}, "NaN"),
        (torch.zeros(3), 0.1, {}, r"\(T, \*event\)"),
        (torch.zeros(0, 3), 0.1, {}, "T >= 1"),
        (torch.zeros(2, 3), -0.1, {}, "bandwidth"),
        (torch.zeros(2, 3), float("nan"), {}, "bandwidth"),
        (torch.zeros(2, 3), 0.1, {"weights": torch.tensor([0.5, 0.6])}, "sum to 1"),
        (torch.zeros(2, 3), 0.1, {"chunk": 0}, "chunk"),
    ],
)
def test_refuses(points, bandwidth, options, sentence):
    with pytest.raises(InputError, match=sentence):
        Kde(points, bandwidth, **options)
