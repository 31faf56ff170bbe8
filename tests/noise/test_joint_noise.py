"""Two laws of noise as one: everything a law says, block by block."""

from __future__ import annotations

import pytest
import torch

from scorefield.errors import InputError
from scorefield.kernels import MarkovChain, SplitGibbs
from scorefield.measurement import Measurement
from scorefield.noise import Colored, PoissonEmission, White
from scorefield.operators import Identity, Matrix
from scorefield.posteriors import join
from scorefield.priors import DiagonalGaussian
from scorefield.sampling import sample
from scorefield.schedules import Karras
from support import normal


def counts() -> Measurement:
    return Measurement(torch.tensor([3.0, 8.0, 5.0]).double(), Identity((3,)), PoissonEmission(1.0))


def linear(noise=None) -> Measurement:
    return Measurement(normal(2, seed=1), Matrix(normal(2, 3, seed=2)), noise or White(0.3))


def test_log_likelihood_and_score_are_sums_over_the_parts():
    both, x = join(counts(), linear()), 1 + normal(4, 3).square()
    torch.testing.assert_close(both.log_likelihood(x), counts().log_likelihood(x) + linear().log_likelihood(x))
    torch.testing.assert_close(both.score(x), counts().score(x) + linear().score(x))
    drawn = both.noise.corrupt(both.operator(x), torch.Generator().manual_seed(0))
    assert drawn.shape == (4, 5)
    assert bool((drawn[:, :3] == drawn[:, :3].round()).all())  # counts


def test_correlated_noise_is_whitened_in_its_block():
    covariance = torch.tensor([[1.0, 0.4], [0.4, 0.5]]).double()
    first, second = linear(Colored(covariance)), linear(White(0.2))
    both, r = join(first, second), normal(3, 4, seed=5)
    expected = torch.cat([first.noise.whiten(r[:, :2]), second.noise.whiten(r[:, 2:])], 1)
    torch.testing.assert_close(both.noise.whiten(r), expected)
    torch.testing.assert_close(both.noise.log_prob(r), first.noise.log_prob(r[:, :2]) + second.noise.log_prob(r[:, 2:]))
    torch.testing.assert_close(both.noise.solve(r)[:, 2:], r[:, 2:] / 0.04)
    torch.testing.assert_close(both.noise.color(both.noise.whiten(r)), r)
    shifted = torch.linalg.solve(covariance + 0.3 * torch.eye(2), r[:, :2].T).T
    torch.testing.assert_close(both.noise.solve(r, 0.3)[:, :2], shifted)
    torch.testing.assert_close(both.noise.precision, (torch.linalg.inv(covariance).trace() + 2 / 0.04) / 4)


def test_a_chain_walks_on_counts_and_linear_data_at_once():
    prior = DiagonalGaussian(torch.full((3,), 4.0).double(), torch.tensor(4.0).double())
    kernel = SplitGibbs(join(counts(), linear()), likelihood=MarkovChain(steps=10))
    like = torch.empty(0, dtype=torch.float64)
    drawn = sample(prior, kernel, Karras(0.5, 2.0).grid(3), n=4, seed=0, like=like).draws
    assert bool(drawn.isfinite().all())
    with pytest.raises(InputError, match="no fixed noise variance"):
        _ = join(counts(), linear()).whitened


def test_levels_of_all_data_follow_the_data_to_their_device():
    """On the meta device, which computes nothing and refuses mixtures as any other does."""
    far = torch.zeros(2, 5, device="meta")
    assert White(0.3).log_prob(far).device.type == "meta"
