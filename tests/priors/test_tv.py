from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.priors.tv import GeneralizedGaussian, TotalVariation

PRIORS = [
    pytest.param(GeneralizedGaussian(1.3, 1.01), 1.3, 1.01, id="almost-tv"),
    pytest.param(GeneralizedGaussian(0.7, 2.0), 0.7, 2.0, id="quadratic"),
    pytest.param(GeneralizedGaussian(0.7, 0.5), 0.7, 0.5, id="sparse"),
    pytest.param(TotalVariation(0.9), 0.9, 1.0, id="tv"),
]
every = pytest.mark.parametrize(("prior", "beta", "alpha"), PRIORS)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@every
def test_two_pixels_by_hand(prior, beta, alpha):
    x = randn(1000, 2)
    d = x[:, 1] - x[:, 0]
    close(prior.log_prob(x), -beta * d.abs() ** alpha)
    # erratum 2: s = alpha beta |d|^(alpha-1) sign(x2 - x1) [1, -1]
    slope = alpha * beta * d.abs() ** (alpha - 1) * d.sign()
    close(prior.score(x, 0.0), torch.stack([slope, -slope], dim=1))


@every
@pytest.mark.parametrize("shape", [(7,), (2, 5), (2, 3, 4), (1, 2, 3, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_log_prob_is_the_sum_over_neighbors(prior, beta, alpha, shape, dtype):
    x = randn(2, *shape, dtype=dtype)
    spatial = range(len(shape)) if len(shape) == 1 else range(1, len(shape))
    energy = torch.zeros(2, dtype=torch.float64)
    for index in itertools.product(*map(range, shape)):
        for axis in spatial:
            other = tuple(i + (a == axis) for a, i in enumerate(index))
            if other[axis] < shape[axis]:
                energy += beta * (x[(slice(None), *index)] - x[(slice(None), *other)]).abs() ** alpha
    close(prior.log_prob(x), -energy)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_score_is_the_gradient_and_ascends(prior, beta, alpha, dtype):
    x = randn(20, 1, 3, 4, dtype=dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(prior.log_prob(x).sum(), x)
    score = prior.score(x.detach(), 0.0)
    close(score, gradient, 1e-6)
    assert bool((prior.log_prob(x + 1e-6 * score) > prior.log_prob(x)).all())


@every
def test_ties_have_no_slope(prior, beta, alpha):
    flat = torch.full((1, 1, 3, 4), 2.5, dtype=torch.float64)
    assert torch.equal(prior.score(flat, 0.0), torch.zeros_like(flat))
    step = flat.clone()
    step[..., 2:] = 3.5
    score = prior.score(step, 0.0)[0, 0]
    # only the two columns at the step are pulled together
    pull = alpha * beta
    close(score, torch.tensor([0, pull, -pull, 0], dtype=torch.float64).expand(3, 4))


@every
def test_only_the_clean_law_is_known(prior, beta, alpha):
    x = randn(2, 1, 3, 4)
    assert torch.equal(prior.denoise(x, 0.0), x)
    for call in (prior.score, prior.denoise, prior.log_prob):
        for sigma in (0.1, torch.tensor([0.0, 0.1])):
            with pytest.raises(InputError, match="no closed form at sigma > 0"):
                call(x, sigma)
        with pytest.raises(InputError, match="sigma must"):
            call(x, -1.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses(bad):
    with pytest.raises(InputError, match="weight"):
        TotalVariation(bad)
    with pytest.raises(InputError, match="weight"):
        GeneralizedGaussian(bad, 1.0)
    with pytest.raises(InputError, match="exponent"):
        GeneralizedGaussian(1.0, bad)


def test_prox_of_two_pixels():
    # shrink the difference by 2 lambda, keep the mean
    x = torch.tensor([[0.0, 3.0], [0.0, 0.5], [2.0, -1.0]], dtype=torch.float64)
    expected = torch.tensor([[0.6, 2.4], [0.25, 0.25], [1.4, -0.4]], dtype=torch.float64)
    close(TotalVariation(2.0).prox(x, 0.3, tolerance=1e-9), expected, 1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_prox_of_a_signal_satisfies_the_optimality_conditions(dtype):
    x, radius = randn(3, 30, dtype=dtype).cumsum(1), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    u = TotalVariation(1.0).prox(x, radius, tolerance=1e-7, iterations=20_000)
    # in one dimension the dual is explicit, D^T p = x - u; it is bounded, and is radius sgn(D u) at jumps
    dual = (u - x).cumsum(1)
    d = u.diff(dim=1)
    assert dual[:, -1].abs().max() < 1e-5
    assert bool((dual[:, :-1].abs() <= radius[:, None] + 1e-5).all())
    jumps = d.abs() > 1e-3
    assert jumps.sum() > 10
    assert (~jumps).sum() > 10
    close(dual[:, :-1][jumps], (radius[:, None] * d.sgn())[jumps], 1e-4)


def test_prox_of_an_image_keeps_its_promise():
    prior, x = TotalVariation(1.5), randn(2, 1, 12, 13)
    best = prior.prox(x, 0.2, tolerance=1e-6, iterations=50_000)
    for tolerance in (1e-1, 1e-2, 1e-3):
        error = (prior.prox(x, 0.2, tolerance=tolerance) - best).flatten(1).norm(dim=1)
        assert bool((error <= (tolerance + 1e-6) * x.flatten(1).norm(dim=1)).all())

    def objective(u: Tensor) -> Tensor:
        return (u - x).square().flatten(1).sum(1) / 2 - 0.2 * prior.log_prob(u)

    for seed in range(20):
        other = best + 1e-2 * randn(2, 1, 12, 13, seed=seed)
        assert bool((objective(other) > objective(best)).all())
    assert (
        sum(int((d.abs() < 1e-4).sum()) for d in (best.diff(dim=2), best.diff(dim=3))) > 50
    )  # pieces that are constant


def test_an_unfinished_prox_is_told():
    with pytest.warns(RuntimeWarning, match="above its tolerance"):
        TotalVariation(1.0).prox(randn(1, 1, 8, 8), 1.0, iterations=3)


def test_prox_without_step_is_the_image():
    x = randn(2, 1, 3, 4)
    close(TotalVariation(1.0).prox(x, 0.0), x)
