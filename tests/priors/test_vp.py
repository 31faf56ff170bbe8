"""Variance-preserving networks: exact Gaussian predictors answer in closed form at our levels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.priors import (
    VP,
    ContinuousBetas,
    CosineBetas,
    ImagePrediction,
    LinearBetas,
    NoisePrediction,
    SqrtLinearBetas,
    VelocityPrediction,
)
from scorefield.priors.gaussian import DiagonalGaussian
from support import normal

MEAN, VARIANCE = torch.tensor([0.4, -1.0, 0.2]).double(), torch.tensor([1.5, 0.3, 0.05]).double()
EXACT = DiagonalGaussian(MEAN, VARIANCE)
CLOCKS = [LinearBetas(), SqrtLinearBetas(), CosineBetas(), ContinuousBetas(), LinearBetas(0.01, 0.2, steps=12)]
U = torch.linspace(0, 1, 301, dtype=torch.float64)


def kept(clock, t: Tensor) -> Tensor:
    """abar at (continuous) network time, by other code than the clock's: a table walked step by step, or the SDE."""
    if isinstance(clock, ContinuousBetas):
        s = t / clock.scale
        return torch.exp(-(s**2) * (clock.end - clock.start) / 2 - s * clock.start)
    product, table = 1.0, []
    for beta in clock.betas().tolist():
        product *= 1 - beta
        table.append(math.log(1 / product - 1) / 2)
    below = t.floor().clamp(0, len(table) - 2)
    low, high = torch.tensor(table).double()[below.long()], torch.tensor(table).double()[below.long() + 1]
    return 1 / (1 + torch.exp(2 * (low + (t - below) * (high - low))))


class Predictor(nn.Module):
    """The exact prediction for the Gaussian, in the network's own terms: images at its scale, and its time."""

    def __init__(self, clock, what: str):
        super().__init__()
        self.clock, self.what = clock, what

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        assert t.shape == (len(x),)
        abar = kept(self.clock, t.double())[:, None]
        a, s = abar.sqrt(), (1 - abar).sqrt()
        clean = MEAN + a * VARIANCE / (abar * VARIANCE + s**2) * (x - a * MEAN)
        eps = (x - a * clean) / s
        return {"eps": eps, "x0": clean, "v": a * eps - s * clean}[self.what].to(x.dtype)


PREDICTIONS = {"eps": NoisePrediction(), "x0": ImagePrediction(), "v": VelocityPrediction()}


@pytest.mark.parametrize("clock", CLOCKS, ids=str)
@pytest.mark.parametrize("what", PREDICTIONS)
def test_an_exact_network_is_the_closed_form(clock, what):
    """At the clock's own levels and between them, one for all images or one each."""
    prior = VP(Predictor(clock, what), clock, PREDICTIONS[what])
    sigmas = clock.quantile(U[10:-10])
    sigmas = sigmas[sigmas < 1e3]  # beyond, x is noise to 12 digits
    x = normal(len(sigmas), 3) * (1 + sigmas[:, None])
    torch.testing.assert_close(prior.denoise(x, sigmas), EXACT.denoise(x, sigmas), rtol=1e-6, atol=1e-6)
    one = sigmas[len(sigmas) // 2]
    torch.testing.assert_close(prior.denoise(x[:5], one), EXACT.denoise(x[:5], one), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("clock", CLOCKS, ids=str)
def test_time_is_the_inverse_of_the_quantile(clock):
    sigmas = clock.quantile(U)
    assert bool((sigmas.diff() > 0).all() and (sigmas > 0).all() and sigmas.isfinite().all())
    if isinstance(clock, ContinuousBetas):
        expected = clock.scale * (clock.first + U * (1 - clock.first))
    else:
        expected = U * (clock.steps - 1)
    torch.testing.assert_close(clock.time(sigmas), expected, rtol=1e-9, atol=1e-6)
    outside = torch.tensor([0.0, 1e9], dtype=torch.float64)
    torch.testing.assert_close(clock.time(outside), expected[[0, -1]], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("clock", [LinearBetas(), SqrtLinearBetas(), CosineBetas()], ids=str)
def test_the_full_grid_is_every_step(clock):
    levels = clock.grid(clock.steps)
    torch.testing.assert_close(levels[:-1].flip(0), clock.levels(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(clock.time(clock.levels()).round(), torch.arange(clock.steps).double())


def test_the_published_clocks():
    """DDPM's ends; methods D15: the middle of latent diffusion's is the mean of roots squared; the cosine's halves."""
    betas = LinearBetas().betas()
    assert (betas[0].item(), betas[-1].item(), len(betas)) == (pytest.approx(1e-4), pytest.approx(0.02), 1000)
    assert (1 - betas).prod().item() == pytest.approx(4.04e-5, rel=1e-2)
    betas = SqrtLinearBetas().betas()
    assert (betas[0].item(), betas[-1].item()) == (pytest.approx(0.0015), pytest.approx(0.0195))
    assert betas[499].item() == pytest.approx(0.0079, abs=5e-5)
    abar = 1 / (1 + CosineBetas().levels() ** 2)
    u = (torch.arange(1, 1000).double() / 1000 + 0.008) / 1.008
    start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(abar[:999], torch.cos(u * math.pi / 2) ** 2 / start, rtol=1e-9, atol=1e-12)
    assert CosineBetas().betas().max().item() == 0.999


def test_the_continuous_clock_is_the_sde():
    """Methods D2: Euler-Maruyama of dx = -beta x/2 dt + sqrt(beta) dw has these marginals within 2%."""
    clock, n, steps = ContinuousBetas(first=1e-5), 40_000, 1000
    generator = torch.Generator().manual_seed(0)
    x, dt = torch.full((n,), 2.0, dtype=torch.float64), 1 / steps
    for i in range(steps):
        beta = 0.1 + 19.9 * (i + 0.5) * dt
        x = x - beta * x * dt / 2 + math.sqrt(beta * dt) * torch.empty_like(x).normal_(generator=generator)
        t = (i + 1) * dt
        if i + 1 in (100, 500, 1000):
            u = torch.tensor((t - 1e-5) / (1 - 1e-5), dtype=torch.float64)
            abar = (1 / (1 + clock.quantile(u) ** 2)).item()
            assert x.mean().item() == pytest.approx(2 * math.sqrt(abar), abs=0.02)
            assert x.var().item() == pytest.approx(1 - abar, rel=0.02 + 4 * math.sqrt(2 / n))


def test_levels_outside_the_clock():
    """Below the first step the time stays, the coefficients do not: the image is the limit at 0."""
    prior = VP(Predictor(LinearBetas(), "eps"))
    x = normal(4, 3)
    torch.testing.assert_close(prior.denoise(x, 0.0), x)
    below = prior.denoise(x, 1e-3)
    eps = Predictor(LinearBetas(), "eps")(x / math.sqrt(1 + 1e-6), torch.zeros(4))
    torch.testing.assert_close(below, x - 1e-3 * eps, rtol=1e-12, atol=1e-12)


def test_float32_and_defaults():
    prior = VP(Predictor(LinearBetas(), "eps"))
    assert prior.timesteps == LinearBetas()
    assert prior.prediction == NoisePrediction()
    x = normal(4, 3).float()
    found = prior.denoise(x, 0.5)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), EXACT.denoise(x.double(), 0.5), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(prior.score(x, 0.5).double(), EXACT.score(x.double(), 0.5), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LinearBetas(0.0, 0.1),
        lambda: LinearBetas(0.2, 0.1),
        lambda: LinearBetas(0.1, 1.0),
        lambda: LinearBetas(steps=1),
        lambda: SqrtLinearBetas(-0.1, 0.1),
        lambda: CosineBetas(offset=-1),
        lambda: CosineBetas(largest=1.0),
        lambda: ContinuousBetas(start=0.0),
        lambda: ContinuousBetas(first=0.0),
    ],
)
def test_bad_numbers_are_refused(make):
    with pytest.raises(InputError):
        make()
