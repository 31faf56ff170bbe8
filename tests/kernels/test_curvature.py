"""Markov chains on likelihoods without a covariance: steps follow the curvature, and chains return from far guesses."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.kernels import MarkovChain
from scorefield.kernels.likelihood import curvature
from scorefield.measurement import Measurement
from scorefield.noise import PoissonTransmission, Rician, White
from scorefield.operators import Identity, Matrix, parallel_beam
from support import normal


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_curvature_of_linear_data_is_the_largest_eigenvalue():
    """``A^T A / std^2`` of a matrix whose first singular value stands out; ten power steps find it to a thousandth."""
    left, right = (torch.linalg.qr(normal(6, 6, seed=seed)).Q for seed in (1, 2))
    matrix = left @ torch.tensor([3.0, 1.0, 0.8, 0.5, 0.3, 0.1]).double().diag() @ right
    given = Measurement(normal(6), Matrix(matrix), White(0.2))
    found = curvature(given, normal(3, 6, seed=3), torch.tensor(0.5), generator())
    assert float(found) == pytest.approx(9 / 0.04, rel=1e-3)


def test_negative_curvature_does_not_limit_the_step():
    """Near 0, far below a magnitude of 6, -log p curves by -(6 / 0.16)^2 / 2, and nowhere by more than 1 / 0.16."""
    given = Measurement(torch.tensor([6.0]).double(), Identity((1,)), Rician(0.4))
    found = curvature(given, torch.full((50, 1), 0.02).double(), torch.tensor(0.1), generator())
    assert float(found) <= 1 / 0.16


@pytest.fixture
def scan() -> Measurement:
    """Water, 256 mm of it, where one photon in two hundred passes."""
    n = 32
    operator = parallel_beam((1, n, n), torch.arange(16) * math.pi / 16, 48, pixel_spacing=8.0, detector_spacing=8.0)
    truth = torch.full((1, 1, n, n), 0.01)
    return Measurement(
        torch.poisson(1e4 * torch.exp(-operator(truth)), generator()), operator, PoissonTransmission(1e4)
    )


@pytest.mark.parametrize("rho", [0.04, 0.005])
def test_the_chain_of_a_transmission_scan_moves_and_stays_finite(scan, rho):
    """From the truth at two levels of tether: it spreads, by less than the tether."""
    truth = torch.full((4, 1, 32, 32), 0.01)
    drawn = MarkovChain().draw(scan, truth, torch.tensor(rho), generator())
    spread = float((drawn - truth).std())
    assert 1e-5 < spread < rho


def test_the_score_of_transmission_is_the_gradient_far_outside_too():
    """Line integrals from -40 to 8: the log-density stays finite, concave and differentiable."""
    for background in (0.0, 5.0):
        noise = PoissonTransmission(100.0, background)
        m, y = torch.linspace(-40, 8, 400).double()[None].requires_grad_(), torch.full((1, 400), 30.0).double()
        log = noise.log_likelihood(y, m)
        (slope,) = torch.autograd.grad(log.sum(), m)
        torch.testing.assert_close(noise.score(y, m), slope)
        assert bool(slope.isfinite().all())
        if background == 0:
            assert bool((slope[0].diff() <= 1e-9).all())
