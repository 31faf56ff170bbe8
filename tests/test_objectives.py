"""Objectives: their minimizers are the closed-form scores, sign and scale."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scorefield.nets import PatchMLP, UNet
from scorefield.objectives import Denoising
from scorefield.prior import Denoiser, Prior, Score, level
from scorefield.priors import Gaussian, Network, Unitless
from scorefield.schedule import Geometric, Schedule
from scorefield.train import Settings, Steps, descend
from support import normal


class One(Schedule):
    """A single level."""

    def __init__(self, sigma: float):
        self.sigma = sigma

    def quantile(self, u: Tensor) -> Tensor:
        return torch.full_like(u, self.sigma)


class LinearScore(Score):
    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def score(self, x, sigma):
        return -self.rate * x


class LinearDenoiser(Denoiser):
    def __init__(self, d: int):
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(d, d, dtype=torch.float64))

    def denoise(self, x, sigma):
        return x @ self.matrix.T


def loss(prior: Prior, x: Tensor, objective: Denoising, seed: int = 0) -> Tensor:
    return objective(prior, x, torch.Generator().manual_seed(seed))


# --- A10: scalar data N(0, v) and the model s = -a x


def test_the_minimizer_over_linear_scores():
    """argmin_a is 1/(v + sigma^2): from the sample moments to 1e-3, from the law to Monte-Carlo error."""
    n, v, sigma = 200_000, 1.7, 0.8
    x = math.sqrt(v) * normal(n, 1)
    objective = Denoising(One(sigma))
    values = [loss(LinearScore(a), x, objective).item() for a in (0.0, 0.5, 1.0)]
    curvature = 2 * (values[0] - 2 * values[1] + values[2])  # a parabola through three points
    slope = values[2] - values[0] - curvature
    best = -slope / (2 * curvature)
    assert curvature > 0
    # Vincent's estimate -<x, z/sigma^2>/<x, x> on the very noise the objective drew
    generator = torch.Generator().manual_seed(0)
    torch.rand(n, generator=generator, dtype=torch.float64)
    noise = sigma * torch.empty(n, 1, dtype=torch.float64).normal_(generator=generator)
    moments = ((x + noise) * noise).mean() / sigma**2 / (x + noise).square().mean()
    assert best == pytest.approx(moments.item(), abs=1e-9)
    assert best == pytest.approx(1 / (v + sigma**2), abs=4 * 0.8 / math.sqrt(n))


def test_denoising_and_explicit_score_matching_differ_by_a_constant():
    """J_DSM(a) - J_ESM(a) does not depend on a; it is E tr Cov[x0 | x] / sigma^4, not 0."""
    n, v, sigma = 400_000, 1.7, 0.8
    x = math.sqrt(v) * normal(n, 1)
    objective = Denoising(One(sigma), weight=lambda s: s**-4)  # the squared score error itself
    rates = [0.1, 0.3, 0.5, 0.7]
    implicit = torch.tensor([loss(LinearScore(a), x, objective).item() for a in rates])
    explicit = torch.tensor([(a - 1 / (v + sigma**2)) ** 2 * (v + sigma**2) for a in rates])
    constant = implicit - explicit
    assert constant.std().item() < 0.01
    assert constant.mean().item() == pytest.approx(v * sigma**2 / (v + sigma**2) / sigma**4, rel=0.01)


def test_the_minimizer_over_linear_denoisers_in_several_dimensions():
    """The objective is quadratic in the matrix, with its minimum at C (C + sigma^2)^-1: the closed-form score."""
    n, sigma = 100_000, 0.6
    covariance = torch.tensor([[1.0, 0.6, 0.2], [0.6, 0.8, 0.1], [0.2, 0.1, 0.3]], dtype=torch.float64)
    law = Gaussian(torch.zeros(3, dtype=torch.float64), covariance)
    x = law.rsample(n, torch.Generator().manual_seed(1))
    prior, objective = LinearDenoiser(3), Denoising(One(sigma))

    def gradient(matrix: Tensor) -> Tensor:
        prior.matrix.data = matrix
        return torch.autograd.grad(loss(prior, x, objective), prior.matrix)[0]

    # the gradient is affine, M -> M H - B with H the second moment of the noisy images: two Newton points give it
    offset = gradient(torch.zeros(3, 3).double())
    curvature = gradient(torch.eye(3).double()) - offset
    best = -offset @ torch.linalg.inv(curvature)
    expected = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(3))
    assert (best - expected).abs().max().item() < 4 / math.sqrt(n)
    prior.matrix.data = best
    y = normal(2, 3, seed=5)
    assert ((prior.score(y, sigma) - law.score(y, sigma)).norm() / law.score(y, sigma).norm()).item() < 0.02


# --- the definition


def test_each_image_has_its_own_level_and_the_weight_is_per_level():
    """E w(sigma) |D - x|^2 per pixel, written out on the very draws."""
    x = normal(50, 2, 3, 4)
    law, weight = Geometric(0.1, 2.0), (lambda s: 1 / (1 + s))
    found = Denoising(law, weight)(LinearScore(0.4), x, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    sigma = law.draw(50, generator)
    noise = torch.empty_like(x).normal_(generator=generator)
    total = 0.0
    for i in range(50):
        noisy = x[i] + sigma[i] * noise[i]
        denoised = noisy - sigma[i] ** 2 * 0.4 * noisy
        total += (weight(sigma[i]) * (denoised - x[i]).square().mean()).item() / 50
    assert found.item() == pytest.approx(total, rel=1e-12)
    assert found.ndim == 0


def test_the_default_weight_is_noise_conditional():
    """sigma^2 times the squared score error: white noise costs 1 at every level if nothing is denoised."""

    class Nothing(Denoiser):
        def denoise(self, x, sigma):
            level(sigma, x)
            return x

    x = torch.zeros(2000, 5, dtype=torch.float64)
    for sigma in (0.01, 3.0):
        value = loss(Nothing(), x, Denoising(One(sigma))).item()
        assert value == pytest.approx(1, abs=4 * math.sqrt(2 / 10_000))


def test_complex_images_have_two_components():
    class Nothing(Denoiser):
        def denoise(self, x, sigma):
            return x

    x = torch.zeros(2000, 5, dtype=torch.complex128)
    assert loss(Nothing(), x, Denoising(One(0.5))).item() == pytest.approx(2, abs=8 * math.sqrt(1 / 10_000))


# --- B2: trained networks reach the closed form


def patches(tau: float, n: int, generator: torch.Generator) -> Tensor:
    """v = c 1 + tau e on 2 x 2 pixels: flat patches of random gray, and texture."""
    gray = torch.empty(n, 1, 1, 1).normal_(generator=generator)
    return gray + tau * torch.empty(n, 1, 2, 2).normal_(generator=generator)


NETS = {
    "tutorial": (lambda: PatchMLP(size=2), 600),
    "conditional": (lambda: PatchMLP(size=2, levels=1), 600),
    "unet": (lambda: UNet(widths=(32, 32), blocks=1), 200),
}


@pytest.mark.parametrize("name", NETS)
def test_training_at_one_level_reaches_the_score(name):
    """B2: relative L2 error below 10 per cent against the closed form of covariance (tau^2 + sigma^2) I + 1 1^T."""
    tau, sigma = 0.1, 0.2
    make, steps = NETS[name]
    generator = torch.Generator().manual_seed(0)
    prior = Network(make(), Unitless(), crop=2)
    batches = iter(lambda: patches(tau, 256, generator), None)
    settings = Settings(rate=5e-3)
    for _ in descend(prior, batches, Denoising(One(sigma)), Steps(steps), settings=settings, generator=generator):
        pass
    x = patches(tau, 4000, generator)
    x = x + sigma * torch.empty_like(x).normal_(generator=generator)
    flat, one = x.flatten(1), torch.ones(4, 4)
    exact = -torch.linalg.solve((tau**2 + sigma**2) * torch.eye(4) + one, flat.T).T
    with torch.no_grad():
        found = prior.eval().score(x, sigma).flatten(1)
    assert ((found - exact).norm() / exact.norm()).item() < 0.1
