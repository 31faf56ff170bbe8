from __future__ import annotations

import math

import pytest
import torch
from closed_forms import mixture, some

from scorefield.errors import InputError
from scorefield.kernels import Langevin
from scorefield.prior import Denoiser
from scorefield.priors import Frozen, GaussianMixture
from scorefield.sampling import walk

LEVELS = torch.tensor([0.5, 0.7, 1.0, 2.0, 0.5], dtype=torch.float64)


@pytest.mark.parametrize("frozen", [0.0, 0.6])
def test_says_the_same_at_every_level(frozen):
    prior = Frozen(mixture(), frozen)
    x = some(prior)
    for sigma in (0.0, 0.3, LEVELS):
        assert torch.equal(prior.score(x, sigma), mixture().score(x, frozen))
        assert torch.equal(prior.log_prob(x, sigma), mixture().log_prob(x, frozen))
    assert torch.equal(prior.log_prob(x), mixture().log_prob(x, frozen))


def test_draws_are_of_the_frozen_law():
    n, sigma, exact = 40_000, 0.7, mixture()
    draws = Frozen(exact, sigma).rsample(n, torch.Generator().manual_seed(0))
    noisy = GaussianMixture(exact.means, exact.covariances + sigma**2, exact.weights)
    reference = noisy.rsample(n, torch.Generator().manual_seed(1))
    for moment in (lambda u: u, lambda u: u.square(), lambda u: u.prod(1, keepdim=True)):
        a, b = moment(draws), moment(reference)
        error = (a.var(0) + b.var(0)).div(n).sqrt()
        assert bool(((a.mean(0) - b.mean(0)).abs() < 5 * error).all())
    clean = Frozen(exact, 0.0).rsample(5, torch.Generator().manual_seed(0))
    assert torch.equal(clean, exact.rsample(5, torch.Generator().manual_seed(0)))


def test_a_geometric_clock_makes_the_tutorials_steps():
    # alpha_t = alpha_0 (p_0^t)^2, t = 1..T, as in the module's docstring, against the recursion by hand
    prior, x = mixture(), some(mixture())
    clock = 0.9 ** torch.arange(1, 7, dtype=torch.float64)
    *_, last = walk(Frozen(prior, 0.0), Langevin(rate=0.3), x, clock, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    for t in range(1, 6):
        alpha = 0.3 * (0.9**t) ** 2
        noise = torch.empty_like(x).normal_(generator=generator)
        x = x + alpha * prior.score(x, 0.0) + math.sqrt(2 * alpha) * noise
    torch.testing.assert_close(last.x, x)


class Coin(Denoiser):
    """A prior whose coin is a shift."""

    def __init__(self, shift: float = 0.0):
        super().__init__()
        self.shift = shift

    def denoise(self, x, sigma):
        return 0 * x + self.shift

    def draw(self, generator=None):
        return Coin(torch.rand((), generator=generator).item())


def test_the_coin_inside_is_drawn():
    x = some(mixture())
    drawn = Frozen(Coin(), 0.5).draw(torch.Generator().manual_seed(0))
    assert torch.equal(drawn.score(x, 3.0), Coin().draw(torch.Generator().manual_seed(0)).score(x, 0.5))


def test_what_the_prior_cannot_the_frozen_one_says():
    x = some(mixture())
    for call, sentence in (
        (lambda: Frozen(Coin(), 0.5).log_prob(x), "no log-density"),
        (lambda: Frozen(Coin(), 0.5).rsample(2), "no exact draws"),
        (lambda: Frozen(Coin(), 0.0).score(x, 1.0), "sigma = 0"),
        (lambda: Frozen(mixture(), 0.5).score(x, -1.0), "sigma must"),
    ):
        with pytest.raises(InputError, match=sentence):
            call()


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_refuses(bad):
    with pytest.raises(InputError, match="frozen level"):
        Frozen(mixture(), bad)
