"""Likelihood by the probability-flow ODE, against densities in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from benches import tb_g, tb_m
from torch import Tensor

from scorefield.densities import flow
from scorefield.densities.flow import bits_per_dimension, log_likelihood, transport
from scorefield.densities.trace import ExactTrace, Hutchinson
from scorefield.errors import InputError
from scorefield.prior import Denoiser
from scorefield.priors.gaussian import DiagonalGaussian, Gaussian
from scorefield.schedules import Geometric
from support import complex_normal, normal

BENCH = tb_g()
SIGMAS = Geometric(0.01, 50.0).grid(100)[:-1]


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class DenoiserOnly(Denoiser):
    """A prior's denoiser alone, its Jacobian by autograd."""

    def __init__(self, prior):
        super().__init__()
        self.prior = prior

    def denoise(self, x, sigma):
        return self.prior.denoise(x, sigma)


def test_a_gaussian_has_its_density():
    """Methods D4: with the exact terminal density, log N(x; m, S + smin^2 I) to 1e-5."""
    x = BENCH.prior.rsample(6, g())
    sigmas = Geometric(0.01, 50.0).grid(201)[:-1]
    result = log_likelihood(DenoiserOnly(BENCH.prior), x, sigmas, terminal=BENCH.prior.log_prob)
    law = torch.distributions.MultivariateNormal(
        BENCH.prior.mean, BENCH.prior.covariance + 0.01**2 * torch.eye(8, dtype=torch.float64)
    )
    assert (result - law.log_prob(x)).abs().max().item() < 1e-5


def test_the_flow_is_the_gaussian_map():
    x = BENCH.prior.rsample(6, g())
    carried = transport(BENCH.prior, x, SIGMAS, ExactTrace())
    values = BENCH.prior.eigenvalues
    growth = ((values + 50.0**2) / (values + 0.01**2)).sqrt()
    expected = BENCH.prior.mean + ((x - BENCH.prior.mean) @ BENCH.prior.basis * growth) @ BENCH.prior.basis.T
    torch.testing.assert_close(carried.x, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(carried.log_volume, growth.log().sum().expand(6), rtol=1e-6, atol=1e-6)


def test_fourth_order():
    x = tb_m().prior.rsample(20, g())
    prior = tb_m().prior
    errors = []
    for steps in (20, 40, 80):
        sigmas = Geometric(0.3, 20.0).grid(steps + 1)[:-1]
        result = log_likelihood(prior, x, sigmas, terminal=prior.log_prob)
        errors.append((result - prior.log_prob(x, 0.3)).square().mean().sqrt().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.5)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(4, abs=0.3)
    assert errors[2] < 1e-4


def test_noise_for_a_terminal_costs_what_the_docstring_says():
    """The trap of methods D4: at the top, log N(x; 0, s^2) - log N(x; m, s^2) is -<m, z>/s, which has RMS |m|/s."""
    prior, n = Gaussian(BENCH.prior.mean[:4], torch.diag(torch.tensor([2.0, 0.4, 0.1, 0.02]).double())), 2000
    carried = transport(prior, prior.rsample(n, g()), Geometric(0.01, 50.0).grid(41)[:-1], ExactTrace()).x
    top = torch.tensor(50.0, dtype=torch.float64)
    gap = (flow.white(carried, top) - prior.log_prob(carried, top)).square().mean().sqrt().item()
    assert gap == pytest.approx(prior.mean.norm().item() / 50, rel=4 / math.sqrt(2 * n) + 0.02)


@pytest.mark.parametrize("probes", [1, 4])
def test_random_signs_are_unbiased(probes):
    n = 2000
    prior = Gaussian(BENCH.prior.mean[:3], torch.tensor([[1.0, 0.6, 0.2], [0.6, 0.8, 0.1], [0.2, 0.1, 0.3]]).double())
    x = prior.mean.expand(n, 3) + 0.5
    sigmas = Geometric(0.1, 10.0).grid(12)[:-1]
    exact = transport(prior, x[:1], sigmas, ExactTrace()).log_volume
    result = transport(prior, x, sigmas, Hutchinson(probes=probes), g()).log_volume
    error = result.std().item() / math.sqrt(n)
    assert abs(result.mean().item() - exact.item()) < 4 * error
    assert result.std().item() > 0.05 / math.sqrt(probes)  # off-diagonal terms are what makes the signs vary


def test_random_signs_are_exact_for_a_diagonal_jacobian():
    prior = DiagonalGaussian(torch.zeros(2, 3, dtype=torch.complex128), torch.rand(2, 3, generator=g()).double() + 0.1)
    x = complex_normal(4, 2, 3)
    sigmas = Geometric(0.05, 20.0).grid(60)[:-1]
    exact = log_likelihood(prior, x, sigmas, terminal=prior.log_prob)
    signs = log_likelihood(prior, x, sigmas, trace=Hutchinson(probes=2), generator=g(), terminal=prior.log_prob)
    torch.testing.assert_close(exact, signs, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(exact, prior.log_prob(x, 0.05), rtol=1e-5, atol=1e-5)  # two numbers for each pixel


@pytest.mark.parametrize("x", [normal(3, 4), complex_normal(3, 4)], ids=["real", "complex"])
def test_white_is_the_density_of_noise(x):
    sigma = torch.tensor(1.7, dtype=torch.float64)
    prior = DiagonalGaussian(torch.zeros(4, dtype=x.dtype), torch.tensor(0.0, dtype=torch.float64))
    torch.testing.assert_close(flow.white(x, sigma), prior.log_prob(x, sigma))


def test_bits_per_dimension():
    """A uniform law on [0, 1] costs 8 bits a number at 256 bins; on [-1, 1] bins are twice as wide."""
    assert bits_per_dimension(torch.zeros(2), 3).tolist() == pytest.approx([8, 8])
    halved = torch.full((1,), -3 * math.log(2))
    assert bits_per_dimension(halved, 3, width=2 / 256).tolist() == pytest.approx([8])


def test_no_graph_and_no_global_randomness():
    x = normal(2, 8).requires_grad_()
    before = torch.get_rng_state()
    result = log_likelihood(BENCH.prior, x, SIGMAS[::10], trace=Hutchinson(), generator=g())
    assert not result.requires_grad
    assert torch.equal(torch.get_rng_state(), before)
    again = log_likelihood(BENCH.prior, x, SIGMAS[::10], trace=Hutchinson(), generator=g())
    assert torch.equal(result, again)


@pytest.mark.parametrize("sigmas", [[1.0], [1.0, 0.0], [0.1, 1.0], [1.0, 1.0]])
def test_levels_that_do_not_descend_are_refused(sigmas):
    with pytest.raises(InputError, match="descending levels, all positive"):
        log_likelihood(BENCH.prior, normal(1, 8), torch.tensor(sigmas))


def test_no_probes_are_refused():
    with pytest.raises(InputError, match="probes >= 1"):
        Hutchinson(probes=0)


def test_float32_stays():
    prior = DiagonalGaussian(torch.zeros(4), torch.tensor(0.5))
    result: Tensor = log_likelihood(prior, torch.ones(2, 4), SIGMAS, terminal=prior.log_prob)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, prior.log_prob(torch.ones(2, 4), 0.01), rtol=1e-3, atol=1e-3)
