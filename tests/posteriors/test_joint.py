"""Two measurements of one image: stacked, or one after the other."""

from __future__ import annotations

import pytest
import torch
from benches import tb_g
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Fourier, Identity, Matrix, Stack, birdcage, cartesian_mask, mri
from scorefield.posteriors import DDNM, DDS, DPS, MMPS, AnnealedLikelihood, DiffPIR, PiGDM, Projection, join
from scorefield.priors import DiagonalGaussian, IndependentParts
from scorefield.randomness import normal_like
from support import complex_normal, normal

BENCH = tb_g()
ROWS = normal(3, 8, seed=8)
SECOND = Measurement(normal(3, seed=9), Matrix(ROWS), White(0.25))
BOTH = join(BENCH.measurement, SECOND)
EXACT = {"iterations": 20, "tolerance": 1e-12}
X = 2 * normal(4, 8)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gap(first: Tensor, second: Tensor) -> float:
    return ((first - second).norm() / second.norm()).item()


def test_a_joint_measurement_is_both():
    torch.testing.assert_close(
        BOTH.log_likelihood(X), BENCH.measurement.log_likelihood(X) + SECOND.log_likelihood(X), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(BOTH.score(X), BENCH.measurement.score(X) + SECOND.score(X), rtol=1e-12, atol=1e-12)
    assert BOTH.y.shape == (1, 7)
    assert str(BOTH.operator) == "(Matrix; Matrix)"
    noise = BOTH.noise.sample(torch.zeros(20_000, 7, dtype=torch.float64), g())
    expected = torch.tensor([0.01] * 4 + [0.0625] * 3, dtype=torch.float64)
    # the standard error of a variance of n draws is v sqrt(2/n)
    assert ((noise.var(0) / expected - 1).abs() < 5 * (2 / 20_000) ** 0.5).all()


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_conditioning_twice_is_conditioning_on_both(sigma):
    """Exact for moment matching on Gaussians, in either order and jointly; the closed form agrees."""
    exact = BENCH.prior.posterior(BENCH.measurement).posterior(SECOND).denoise(X, sigma)
    torch.testing.assert_close(BENCH.prior.posterior(BOTH).denoise(X, sigma), exact, rtol=1e-8, atol=1e-8)
    for law in (
        MMPS(BENCH.prior, BOTH, **EXACT),
        MMPS(MMPS(BENCH.prior, BENCH.measurement, **EXACT), SECOND, **EXACT),
        MMPS(MMPS(BENCH.prior, SECOND, **EXACT), BENCH.measurement, **EXACT),
    ):
        torch.testing.assert_close(law.denoise(X, sigma), exact, rtol=1e-6, atol=1e-7)


def test_three_scans_nest():
    third = Measurement(normal(2, seed=3), Matrix(normal(2, 8, seed=4)), White(0.4))
    law = BENCH.prior
    for given in (BENCH.measurement, SECOND, third):
        law = MMPS(law, given, **EXACT)
    joined = MMPS(BENCH.prior, join(BOTH, third), **EXACT)
    torch.testing.assert_close(law.denoise(X, 0.5), joined.denoise(X, 0.5), rtol=1e-6, atol=1e-7)


def test_the_sum_of_scores_needs_no_stack_only_without_inflation():
    twice = AnnealedLikelihood(AnnealedLikelihood(BENCH.prior, BENCH.measurement, inflation=0), SECOND, inflation=0)
    joined = AnnealedLikelihood(BENCH.prior, BOTH, inflation=0)
    torch.testing.assert_close(twice.denoise(X, 0.7), joined.denoise(X, 0.7), rtol=1e-9, atol=1e-9)
    coupled = AnnealedLikelihood(AnnealedLikelihood(BENCH.prior, BENCH.measurement), SECOND)
    assert gap(coupled.denoise(X, 0.7), AnnealedLikelihood(BENCH.prior, BOTH).denoise(X, 0.7)) > 1e-3


@pytest.mark.parametrize("cls", [DPS, PiGDM, DiffPIR, DDS, DDNM, Projection])
def test_the_others_are_approximate_and_depend_on_the_order(cls):
    """As documented; either order is a posterior that works, hard consistency holds for the last scan."""
    one = cls(cls(BENCH.prior, BENCH.measurement), SECOND).denoise(X, 0.5)
    other = cls(cls(BENCH.prior, SECOND), BENCH.measurement).denoise(X, 0.5)
    joined = cls(BENCH.prior, BOTH).denoise(X, 0.5)
    assert bool(one.isfinite().all())
    assert min(gap(one, other), gap(one, joined), gap(other, joined)) > 1e-3
    if cls in (DDNM, Projection):
        assert SECOND.residual(one).abs().max().item() < 1e-6
        assert BOTH.residual(joined).abs().max().item() < 1e-6


def test_two_scans_of_a_complex_image_of_different_shapes():
    shape = (1, 4, 6)
    prior = IndependentParts(DiagonalGaussian(normal(*shape), 0.1 + normal(*shape, seed=2).square()))
    operators = (
        mri(cartesian_mask(shape, 3, generator=g(1))),
        mri(cartesian_mask(shape, 2, generator=g(2)), birdcage(3, shape).to(torch.complex128)),
    )
    scans = [
        Measurement(normal_like(torch.empty(1, *operator.shape_out, dtype=torch.complex128), g(i)), operator, White(s))
        for i, (operator, s) in enumerate(zip(operators, (0.3, 0.1), strict=True))
    ]
    x, full = complex_normal(2, *shape), {"iterations": 60, "tolerance": 1e-12}
    twice = MMPS(MMPS(prior, scans[0], **full), scans[1], **full)
    joined = MMPS(prior, join(*scans), **full)
    torch.testing.assert_close(twice.denoise(x, 0.4), joined.denoise(x, 0.4), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(join(*scans).to("cpu").score(x), scans[0].score(x) + scans[1].score(x))


def test_what_cannot_be_stacked():
    with pytest.raises(InputError, match="Cannot stack"):
        Stack(Identity((4,)), Identity((5,)))
    real = Measurement(torch.zeros(1, 2, 2).double(), Identity((1, 2, 2)), White(1.0))
    complex_data = Measurement(torch.zeros(1, 2, 2).to(torch.complex128), Fourier((1, 2, 2)), White(1.0))
    with pytest.raises(InputError, match="RealToComplex"):
        join(real, complex_data)
