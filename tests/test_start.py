"""Starts: how a warm start's error fades, and what each draws."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from benches import tb_g
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernels import Ancestral
from scorefield.sampling import walk
from scorefield.schedules import Karras
from scorefield.start import Uniform, WarmStart, begin
from support import normal

BENCH = tb_g()
POSTERIOR = BENCH.prior.posterior(BENCH.measurement)
LEVELS = Karras(0.003, 10.0).grid(60)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def warm(image: Tensor, sigmas: Tensor, n: int) -> Tensor:
    generator = g()
    x = WarmStart(image)(POSTERIOR, torch.empty(n, 8, dtype=torch.float64), sigmas[0], generator)
    *_, last = walk(POSTERIOR, Ancestral(), x, sigmas, generator)
    return last.x


def test_a_warm_start_is_the_image_and_noise():
    n, sigma = 20_000, torch.tensor(0.7, dtype=torch.float64)
    image = normal(8)
    x = WarmStart(image)(POSTERIOR, torch.empty(n, 8, dtype=torch.float64), sigma, g()) - image
    assert (x.mean(0).abs() < 4 * 0.7 / math.sqrt(n)).all()
    assert ((x.var(0) / 0.49 - 1).abs() < 4 * math.sqrt(2 / n)).all()


def test_the_error_of_a_warm_start_fades_as_the_product_of_contractions():
    """Methods D16: the final error of the mean is the linear recursion's, and falls as the first level rises.

    The same noise from two images makes the difference of two draws exact: no Monte-Carlo error is left.
    """
    delta = torch.ones(8, dtype=torch.float64)
    values, basis = torch.linalg.eigh(BENCH.covariance)
    left = []
    for first in (40, 25, 10, 0):
        sigmas = LEVELS[first:]
        error = (warm(BENCH.mean + delta, sigmas, 2) - warm(BENCH.mean, sigmas, 2))[0]
        factor = torch.ones(8, dtype=torch.float64)
        for s, t in pairwise(sigmas):
            shrink = values / (values + s**2)
            factor = factor * (t**2 / s**2 + (1 - t**2 / s**2) * shrink)
        torch.testing.assert_close(error, (basis.T @ delta * factor) @ basis.T, rtol=1e-8, atol=1e-10)
        left.append(error.norm().item())
    assert all(low > high for low, high in pairwise(left))
    assert left[0] > 0.5 * delta.norm().item()
    assert left[-1] < 0.02 * delta.norm().item()


def test_from_the_top_a_warm_start_is_the_full_sampler():
    """As the first level rises the estimate is forgotten: the draws have the posterior's mean."""
    n = 4000
    sigmas = Karras(0.003, 60.0).grid(100)
    drawn = warm(BENCH.mean + 2, sigmas, n)
    deviation = BENCH.covariance.diagonal().sqrt()
    assert ((drawn.mean(0) - BENCH.mean).abs() < 4.5 * deviation / math.sqrt(n) + 2e-3).all()


def test_starts_leave_the_global_generator_alone():
    like, sigma = torch.empty(3, 8, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    before = torch.get_rng_state()
    for start in (begin, WarmStart(normal(8)), Uniform(-1, 2)):
        x = start(BENCH.prior, like, sigma, g())
        assert (x.shape, x.dtype) == (like.shape, like.dtype)
        assert torch.equal(x, start(BENCH.prior, like, sigma, g()))
        assert not torch.equal(x, start(BENCH.prior, like, sigma, g(1)))
    assert torch.equal(torch.get_rng_state(), before)


def test_complex_starts():
    like, sigma = torch.empty(4000, 8, dtype=torch.complex64), torch.tensor(0.5, dtype=torch.float64)
    x = WarmStart(torch.ones(8, dtype=torch.complex128))(BENCH.prior, like, sigma, g())
    assert x.dtype == torch.complex64
    assert (x - 1).abs().square().mean().item() == pytest.approx(2 * 0.25, rel=4 / math.sqrt(32_000))
    u = Uniform()(BENCH.prior, like, sigma, g())
    for part in (u.real, u.imag):
        assert part.mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / 32_000))
        assert part.var().item() == pytest.approx(1 / 12, rel=4 * math.sqrt(0.8 / 32_000))


@pytest.mark.parametrize(
    ("image", "match"),
    [(torch.zeros(2, 8), "one image of shape \\(8,\\)"), (torch.zeros(8, dtype=torch.complex64), "is complex")],
)
def test_images_that_do_not_fit_are_refused(image, match):
    with pytest.raises(InputError, match=match):
        WarmStart(image)(BENCH.prior, torch.empty(3, 8), torch.tensor(1.0), g())


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf)])
def test_an_empty_interval_is_refused(ends):
    with pytest.raises(InputError, match="low < high"):
        Uniform(*ends)
