"""Fitting closed forms: known minimizers, boxes, determinism, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.objectives import Denoising, Implicit, Likelihood, Sliced
from scorefield.prior import Density
from scorefield.priors import DiagonalGaussian, GaussianMixture
from scorefield.training import fitting
from scorefield.training.fitting import fit
from support import normal

X = 3 + 1.5 * normal(400, 1)


def gaussian(p: Tensor) -> DiagonalGaussian:
    return DiagonalGaussian(p[:1], p[1:].exp())


def zeros(k: int) -> Tensor:
    return torch.zeros(k, dtype=torch.float64)


@pytest.mark.parametrize("objective", [Likelihood(), Implicit()], ids=["likelihood", "implicit"])
def test_a_gaussian_gets_the_moments_of_the_data(objective):
    found = fit(gaussian, objective, X, zeros(2))
    expected = torch.cat([X.mean(0), X.var(0, correction=0).log()])
    assert (found - expected).abs().max().item() < 1e-4  # of L-BFGS-B


def test_a_bound_is_kept_and_the_rest_is_best():
    """The mean is held below the data: the variance is then the second moment about the bound."""
    found = fit(gaussian, Likelihood(), X, zeros(2), bounds=[(-math.inf, 1.0), (-math.inf, math.inf)])
    assert found[0].item() == 1.0
    assert found[1].item() == pytest.approx((X - 1).square().mean().log().item(), abs=1e-4)


@pytest.mark.parametrize("objective", [Denoising(0.5), Sliced(sigma=0.5)], ids=["denoising", "sliced"])
def test_a_random_objective_is_one_function(objective):
    """The draws are made once: the slope vanishes at what is found, on the draws of the same seed and on no others."""
    found = fit(gaussian, objective, X, zeros(2), seed=4)
    assert torch.equal(found, fit(gaussian, objective, X, zeros(2), seed=4))
    assert not torch.equal(found, fit(gaussian, objective, X, zeros(2), seed=5))
    theta = found.requires_grad_()
    slopes = [
        torch.autograd.grad(objective(gaussian(theta), X, torch.Generator().manual_seed(s)), theta)[0]
        .abs()
        .max()
        .item()
        for s in (4, 5)
    ]
    assert slopes[0] < 1e-4 < slopes[1]


def test_a_mixture_finds_its_modes():
    truth = GaussianMixture(torch.tensor([[-2.0], [3.0]]).double(), torch.tensor([0.25, 1.0]), torch.tensor([0.3, 0.7]))
    x = truth.rsample(5000, torch.Generator().manual_seed(0))
    start = torch.tensor([-1.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)

    def build(p: Tensor) -> GaussianMixture:
        return GaussianMixture(p[:2, None], p[2:4].square(), torch.cat([p[4:], p.new_zeros(1)]).softmax(0))

    # widths are standard errors of the maximum-likelihood estimates of well separated components
    found = fit(build, Likelihood(), x, start)
    exact = torch.tensor([-2.0, 3.0, 0.5, 1.0, math.log(3 / 7)])
    n = torch.tensor([1500.0, 3500.0])
    error = torch.cat(
        [exact[2:4] / n.sqrt(), exact[2:4] / (2 * n).sqrt(), torch.tensor([math.sqrt(1 / (0.21 * 5000))])]
    )
    assert bool(((found - exact).abs() < 5 * error).all())


def test_the_dtype_is_that_of_the_start():
    found = fit(gaussian, Likelihood(), X.float(), torch.zeros(2))
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert found[0].item() == pytest.approx(X.mean().item(), abs=1e-2)


def test_works_without_gradients_around_it():
    with torch.no_grad():
        assert torch.equal(fit(gaussian, Implicit(), X, zeros(2)), fit(gaussian, Implicit(), X, zeros(2)))


@pytest.mark.parametrize(
    ("start", "bounds", "message"),
    [
        (torch.zeros(2, 1), None, r"vector \(k,\), got torch.float32 of shape \(2, 1\)"),
        (torch.zeros(2, dtype=torch.int64), None, "real vector"),
        (zeros(2), [(0.0, 1.0)], "2 parameters but 1 bounds"),
        (zeros(2), [(0.0, 1.0), (0.5, 1.0)], r"Parameter 1 starts at 0, outside \[0.5, 1\]"),
        (zeros(2) + math.nan, None, "Parameter 0 starts at nan"),
    ],
)
def test_a_bad_start_is_refused(start, bounds, message):
    with pytest.raises(InputError, match=message):
        fit(gaussian, Likelihood(), X, start, bounds=bounds)


class Unbounded(Density):
    """No density: it grows with its parameter everywhere."""

    def __init__(self, p: Tensor):
        super().__init__()
        self.p = p

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        return self.p.exp().expand(len(x))


def test_an_objective_without_a_minimum_is_refused():
    with pytest.raises(InputError, match=r"not finite at \(\d.*\); set bounds"):
        fit(Unbounded, Likelihood(), X, zeros(1))
    assert fit(Unbounded, Likelihood(), X, zeros(1), bounds=[(-1.0, 2.0)]).item() == 2.0


def test_too_many_evaluations_are_refused(monkeypatch):
    monkeypatch.setattr(fitting, "ITERATIONS", 2)
    with pytest.raises(InputError, match="No minimum within 2 evaluations"):
        fit(gaussian, Likelihood(), X, zeros(2))
