"""Laws of the objectives: where their minima are, and how they are one divergence up to a constant.

A score that is linear in its parameters makes score matching quadratic in them.  Its minimizer is then one linear
system, and each row's gradient an exact difference, so that Monte-Carlo tolerances are standard errors of the estimate
(the sandwich formula) and not guesses.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from scorefield.objectives import (
    Denoising,
    Explicit,
    Hutchinson,
    Implicit,
    Likelihood,
    NoiseConditional,
    Normal,
    Objective,
    Rademacher,
    Regularized,
    Sliced,
    Sphere,
)
from scorefield.prior import Score
from scorefield.priors import EDM, DiagonalGaussian, Gaussian, GaussianMixture
from scorefield.schedules import Schedule
from scorefield.training.fitting import fit
from support import normal

DIRECTIONS = [pytest.param(law, id=type(law).__name__) for law in (Rademacher(), Normal(), Sphere())]


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Levels(Schedule):
    """Finitely many levels, equally likely."""

    def __init__(self, *sigmas: float):
        self.sigmas = t(*sigmas)

    def quantile(self, u: Tensor) -> Tensor:
        return self.sigmas[(u * len(self.sigmas)).long().clamp(max=len(self.sigmas) - 1)]


class Affine(Score):
    """``s = -P_k x + b_k`` at the k-th of some levels, P any matrix: linear in its parameters (levels, d, d + 1)."""

    def __init__(self, parameters: Tensor, levels: Tensor):
        super().__init__()
        self.parts, self.levels = parameters, levels

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        sigma = torch.as_tensor(sigma, dtype=x.dtype).expand(len(x))
        part = self.parts[(sigma[:, None] - self.levels).abs().argmin(1)]
        return part[:, :, -1] - (part[:, :, :-1] @ x.unsqueeze(-1)).squeeze(-1)


def assert_minimizes(objective: Objective, x: Tensor, truth: Tensor, levels: Tensor) -> None:
    """The minimizer over affine scores is ``truth`` (levels, d, d + 1), to 5 standard errors."""
    drawn = objective.draw(x, seeded(1))

    def terms(theta: Tensor) -> Tensor:
        return objective.terms(Affine(theta.reshape(truth.shape), levels), *drawn)

    def slope(theta: Tensor) -> Tensor:
        theta = theta.requires_grad_()
        return torch.autograd.grad(terms(theta).mean(), theta)[0]

    k = truth.numel()
    units = torch.eye(k, dtype=torch.float64)
    origin = slope(torch.zeros(k, dtype=torch.float64))
    hessian = torch.stack([slope(unit) - origin for unit in units])
    assert torch.linalg.eigvalsh(hessian).min() > 0.01  # a minimum, and a unique one
    best = -torch.linalg.solve(hessian, origin)
    with torch.no_grad():
        rows = torch.stack([(terms(best + unit) - terms(best - unit)) / 2 for unit in units], 1)
    solved = torch.linalg.solve(hessian, rows.T)
    error = (solved.square().mean(1) / len(x)).sqrt()
    assert error.max() < 0.05 * truth.abs().max()  # or else the next line says little
    assert bool(((best - truth.flatten()).abs() < 5 * error + 1e-9).all())


LAW = Gaussian(t(0.7, -0.4), torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64))


def exact_scores(*sigmas: float) -> Tensor:
    """The affine scores of LAW, (levels, 2, 3)."""
    precisions = [torch.linalg.inv(LAW.covariance + s**2 * torch.eye(2).double()) for s in sigmas]
    return torch.stack([torch.cat([p, (p @ LAW.mean).unsqueeze(1)], 1) for p in precisions])


ONE_LEVEL = {
    "explicit": Explicit(LAW),
    "explicit noisy": Explicit(LAW, sigma=0.6),
    "implicit": Implicit(),
    "implicit noisy": Implicit(sigma=0.6),
    "reduced variance": Implicit(trace=Hutchinson()),
    "reduced variance, sphere, noisy": Implicit(sigma=0.6, trace=Hutchinson(Sphere())),
    "regularized by nothing": Regularized(0.0, sigma=0.6),
    "sliced": Sliced(),
    "sliced, normal": Sliced(Normal()),
    "sliced, sphere, noisy": Sliced(Sphere(), sigma=0.6),
    "denoising": Denoising(0.6),
}


@pytest.mark.parametrize("name", ONE_LEVEL)
def test_the_minimizer_is_the_score_at_the_level(name):
    objective = ONE_LEVEL[name]
    sigma = getattr(objective, "sigma", 0.0)
    assert_minimizes(objective, LAW.rsample(40_000, seeded()), exact_scores(sigma), t(sigma))


@pytest.mark.parametrize("weight", [lambda s: s**-2, EDM(0.5).weight], ids=["default", "EDM"])
def test_the_minimizer_at_all_levels_whatever_the_weight(weight):
    sigmas = (0.4, 1.5)
    objective = NoiseConditional(Levels(*sigmas), weight)
    assert_minimizes(objective, LAW.rsample(40_000, seeded()), exact_scores(*sigmas), t(*sigmas))


@pytest.mark.parametrize("strength", [0.1, 0.4])
def test_regularization_acts_as_noise_on_a_linear_score(strength):
    """In one dimension the minimizer is the score at the level sigma^2 = 2 strength."""
    x = 0.9 + 1.3 * normal(40_000, 1)
    total = 1.3**2 + 2 * strength
    assert_minimizes(Regularized(strength), x, t(1 / total, 0.9 / total).reshape(1, 1, 2), t(0.0))


@pytest.mark.parametrize("sigma", [0.0, 0.8])
def test_likelihood_has_the_moments_of_the_data(sigma):
    x = normal(500, 2) * t(1.5, 0.8) + t(1.0, -2.0)
    objective = Likelihood(sigma)
    (noisy,) = objective.draw(x, seeded(3))
    found = fit(lambda p: DiagonalGaussian(p[:2], p[2:].exp()), objective, x, torch.zeros(4).double(), seed=3)
    expected = torch.cat([noisy.mean(0), (noisy.var(0, correction=0) - sigma**2).log()])
    assert (found - expected).abs().max().item() < 1e-4  # of L-BFGS-B


# --- one divergence, up to a constant of the data

TRUTH = GaussianMixture(t(-1, 0.5, 1, -0.5).reshape(2, 2), t(0.3, 0.6), t(0.4, 0.6))
MODELS = [
    GaussianMixture(t(-0.5, 0, 1.5, 0.2).reshape(2, 2), t(0.8, 0.5), t(0.7, 0.3)),
    Gaussian(t(0.2, -0.1), torch.tensor([[1.5, -0.3], [-0.3, 0.6]], dtype=torch.float64)),
]
UP_TO_A_CONSTANT = {
    "implicit": (Implicit(), "energy"),
    "implicit noisy": (Implicit(sigma=0.7), "energy"),
    "reduced variance": (Implicit(sigma=0.7, trace=Hutchinson(Normal())), "energy"),
    "sliced": (Sliced(), "energy"),
    "sliced noisy": (Sliced(Sphere(), sigma=0.7), "energy"),
    "denoising": (Denoising(0.7), "spread"),
}


@pytest.mark.parametrize("name", UP_TO_A_CONSTANT)
def test_the_difference_from_explicit_score_matching_is_a_known_constant(name):
    """-E|s|^2/2 for the implicit family, E tr Cov[x0 | x] / (2 sigma^4) for denoising, at the truth's score."""
    objective, kind = UP_TO_A_CONSTANT[name]
    sigma = objective.sigma
    drawn = objective.draw(TRUTH.rsample(40_000, seeded()), seeded(1))
    explicit = Explicit(TRUTH, sigma)
    if kind == "energy":
        constant = -0.5 * TRUTH.score(drawn[0], sigma).square().sum(1)
    else:
        _, vjp = TRUTH.linearize(drawn[0], sigma)
        jacobian_trace = sum(vjp(unit.expand(40_000, 2))[:, i] for i, unit in enumerate(torch.eye(2).double()))
        constant = jacobian_trace / (2 * sigma**2)  # Cov[x0 | x] = sigma^2 dD/dx
    for model in (TRUTH, *MODELS):
        found = (objective.terms(model, *drawn) - explicit.terms(model, drawn[0])).detach()
        gap = found - constant
        assert abs(gap.mean().item()) < 5 * (gap.std() / math.sqrt(len(gap))).item()
        assert abs(constant.mean().item()) > 20 * (gap.std() / math.sqrt(len(gap))).item()


def test_regularized_by_nothing_is_implicit():
    x = TRUTH.rsample(50, seeded())
    for sigma in (0.0, 0.5):
        found = [objective(MODELS[0], x, seeded(2)) for objective in (Regularized(0.0, sigma), Implicit(sigma))]
        assert torch.equal(*found)


def test_one_level_of_noise_conditional_is_denoising():
    x = TRUTH.rsample(200, seeded())
    drawn = NoiseConditional(Levels(0.7), lambda s: s**-4).draw(x, seeded(1))
    _, sigma, noise = drawn
    assert bool((sigma == 0.7).all())
    found = NoiseConditional(Levels(0.7), lambda s: s**-4).terms(MODELS[0], *drawn)
    torch.testing.assert_close(found, Denoising(0.7).terms(MODELS[0], x + 0.7 * noise, noise), rtol=1e-10, atol=1e-10)


# --- directions and slices


@pytest.mark.parametrize("law", DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_directions_have_the_identity_as_second_moment(law, dtype):
    n = 40_000
    v = law.draw(torch.zeros(n, 3, dtype=dtype), seeded())
    rows = torch.view_as_real(v).flatten(1) if v.is_complex() else v
    products = rows.unsqueeze(1) * rows.unsqueeze(2)
    error = products.std(0) / math.sqrt(n)
    assert bool(((products.mean(0) - torch.eye(rows.shape[1])).abs() <= 5 * error + 1e-12).all())


def test_the_sphere_has_radius_root_d():
    for x in (torch.zeros(5, 2, 3, 4), torch.zeros(5, 12, dtype=torch.complex64)):
        torch.testing.assert_close(Sphere().draw(x, seeded()).flatten(1).norm(dim=1), torch.full((5,), math.sqrt(24)))


def quadratic(d: int) -> tuple[Gaussian, Tensor]:
    """A Gaussian with a dense precision matrix, and that matrix."""
    root = normal(d, d, seed=4) / math.sqrt(d)
    precision = 0.5 * (root @ root.T + torch.eye(d))
    return Gaussian(4 * normal(d, seed=5), torch.linalg.inv(precision)), precision


@pytest.mark.parametrize("law", DIRECTIONS)
def test_a_product_with_a_direction_estimates_the_trace(law):
    """Unbiased, with the variance that the module states."""
    d, n = 5, 40_000
    prior, precision = quadratic(d)
    x = prior.mean.expand(n, d)
    estimate = Implicit(trace=Hutchinson(law)).terms(prior, x, law.draw(x, seeded())) - Implicit().terms(prior, x)
    trace, frobenius = precision.trace().item(), precision.square().sum().item()
    expected = {
        "Rademacher": 2 * frobenius - 2 * precision.diagonal().square().sum().item(),
        "StandardNormal": 2 * frobenius,
        "Sphere": 2 * d / (d + 2) * (frobenius - trace**2 / d),
    }[type(law).__name__]
    spread = estimate.var().item()
    kurtosis = ((estimate - estimate.mean()).pow(4).mean() / spread**2).item()
    assert abs(estimate.mean().item()) < 5 * math.sqrt(spread / n)
    assert spread == pytest.approx(expected, rel=5 * math.sqrt((kurtosis - 1) / n))


def test_slices_average_to_implicit_score_matching():
    """Over all 2^d sign vectors, so exactly: both forms have its value, the second with less variance."""
    d = 5
    prior, _ = quadratic(d)
    x = prior.rsample(300, seeded())
    exact = Implicit().terms(prior, x)
    signs = [t(*v).expand(300, d) for v in itertools.product((-1.0, 1.0), repeat=d)]
    plain = torch.stack([Sliced().terms(prior, x, v) for v in signs])
    reduced = torch.stack([Implicit(trace=Hutchinson()).terms(prior, x, v) for v in signs])
    for found in (plain, reduced):
        torch.testing.assert_close(found.mean(0), exact, rtol=1e-10, atol=1e-10)
    assert reduced.var(0).mean() < 0.5 * plain.var(0).mean()
    # they differ in the square only, on the same directions
    score = prior.score(x, 0.0)
    for v, a, b in zip(signs, plain, reduced, strict=True):
        torch.testing.assert_close(b - a, 0.5 * (score.square().sum(1) - (v * score).sum(1) ** 2))


@pytest.mark.parametrize("law", DIRECTIONS)
def test_sliced_score_matching_in_numbers(law):
    """A9: the mean of the reduced form over 1e4 directions within 2 per cent, its variance at most the plain one's."""
    n, (prior, precision) = 10_000, quadratic(8)
    v = law.draw(torch.zeros(n, 8).double(), seeded(4))
    mode = prior.mean.expand(n, 8)
    at_mode = Implicit(trace=Hutchinson()).terms(prior, mode, v).mean().item()
    assert at_mode == pytest.approx(-precision.trace().item(), rel=0.02)
    x = prior.rsample(n, seeded(3))
    reduced, plain = Implicit(trace=Hutchinson()).terms(prior, x, v), Sliced().terms(prior, x, v)
    assert reduced.var() < plain.var()


def test_the_variance_of_normal_slices():
    """What the full square saves given x, |s|^4/2 + 2 s'Js, is negative where the score is small."""
    n, (prior, precision) = 100_000, quadratic(3)
    for shift in (0.5, 4.0):
        x = prior.mean + t(shift, 0, 0)
        score = prior.score(x.unsqueeze(0), 0.0)[0]
        v = Normal().draw(x.expand(n, 3), seeded(1))
        plain, reduced = (
            Sliced().terms(prior, x.expand(n, 3), v),
            Implicit(trace=Hutchinson()).terms(prior, x.expand(n, 3), v),
        )
        saved = score.square().sum() ** 2 / 2 - 2 * score @ precision @ score
        spreads = (plain - plain.mean()).square() - (reduced - reduced.mean()).square()
        assert abs((spreads.mean() - saved).item()) < 5 * (spreads.std() / math.sqrt(n)).item()
        assert (saved > 0) == (shift > 1)


def test_unit_directions_would_be_wrong():
    """Trap 15: on the unit sphere the trace is too small by a factor d, the square is not."""
    d = 5
    prior, _ = quadratic(d)
    x = prior.mean.expand(20_000, d) + 0.5
    v = Sphere().draw(x, seeded())
    right, wrong = (Implicit(trace=Hutchinson()).terms(prior, x, u) for u in (v, v / math.sqrt(d)))
    square = 0.5 * prior.score(x, 0.0).square().sum(1)
    torch.testing.assert_close((right - square) / d, wrong - square)
    assert abs((wrong - Implicit().terms(prior, x)).mean()) > 1


def test_implicit_score_matching_finds_a_precision_matrix():
    """A7: a linear score on 1e4 samples in d = 4: exactly the inverse sample covariance, 5 per cent from the truth."""
    d = 4
    law, precision = quadratic(d)
    x = law.rsample(10_000, seeded())

    def slope(theta: Tensor) -> Tensor:
        theta = theta.requires_grad_()
        return torch.autograd.grad(Implicit()(Affine(theta.reshape(1, d, d + 1), t(0.0)), x), theta)[0]

    k = d * (d + 1)
    origin = slope(torch.zeros(k).double())
    hessian = torch.stack([slope(unit) - origin for unit in torch.eye(k).double()])
    best = -torch.linalg.solve(hessian, origin).reshape(d, d + 1)
    found, mean = best[:, :-1], torch.linalg.solve(best[:, :-1], best[:, -1])
    torch.testing.assert_close(found, torch.linalg.inv(torch.cov(x.T, correction=0)), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(mean, x.mean(0), rtol=1e-8, atol=1e-8)
    assert (found - precision).norm() < 0.05 * precision.norm()
    assert (mean - law.mean).norm() < 0.02 * law.mean.norm()
