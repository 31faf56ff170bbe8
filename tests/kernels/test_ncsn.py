"""Annealed Langevin dynamics: the published numbers, and what the sampler draws."""

from __future__ import annotations

import math

import pytest
import torch
from benches import tb_m

from scorefield.errors import InputError
from scorefield.kernel import Repeat, State
from scorefield.kernels import Langevin, ncsn
from scorefield.sampling import walk
from scorefield.schedules import Geometric
from scorefield.start import Uniform
from support import complex_normal, normal

PRIOR = tb_m().prior


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distance_of_weights(x: torch.Tensor) -> float:
    """Total variation of the frequencies of the nearest modes."""
    found = torch.bincount(torch.cdist(x, PRIOR.means).argmin(1), minlength=3) / len(x)
    return (found - PRIOR.weights).abs().sum().item() / 2


def test_technique_two_for_color_images_of_32():
    """Methods A12: n = 3072 gives g = 1.0398, about 219 levels from 50 to .01."""
    g = ncsn.ratio(3072)
    assert g == pytest.approx(1.0398, abs=5e-5)
    assert math.log(5000) / math.log(g) == pytest.approx(218.5, abs=1)
    with pytest.raises(InputError, match="5 dimensions"):
        ncsn.ratio(4)
    assert ncsn.ratio(5) > ncsn.ratio(6) > ncsn.ratio(100_000) > 1


def test_technique_two_is_the_overlap_of_noise_norms():
    """The share of noise norms of one level within three deviations of the next, by drawing them."""
    n, count = 100, 40_000
    ratio = ncsn.ratio(n)
    norms = normal(count, n).norm(dim=1)
    center, deviation = math.sqrt(n) * ratio, ratio / math.sqrt(2)
    share = ((norms - center).abs() < 3 * deviation).double().mean().item()
    assert share == pytest.approx(0.5, abs=0.02)  # the norms are normal only for large n


def test_technique_four_gives_the_published_step():
    """Methods A12: with 5000^(1/231), .01 and T = 5 the minimum is 1.0555, at 6.2e-6."""
    known = {"sigma_min": 0.01, "ratio": 5000 ** (1 / 231), "repeats": 5}
    assert ncsn.spread(6.2e-6, **known) == pytest.approx(1.0555, abs=5e-5)
    best = ncsn.step(**known)
    assert best == pytest.approx(6.2e-6, rel=0.01)
    for other in (0.8, 1.25):
        assert ncsn.spread(best * other, **known) > ncsn.spread(best, **known)


def test_technique_four_is_the_variance_of_the_steps():
    """On a single point the score is -x/sigma^2 and the recursion linear: s^2 <- (1 - e)^2 s^2 + 2 eps."""
    sigma, ratio, repeats, step = 0.3, 1.4, 7, 0.02
    variance = (ratio * sigma) ** 2
    for _ in range(repeats):
        variance = (1 - step / sigma**2) ** 2 * variance + 2 * step
    found = ncsn.spread(step, sigma_min=sigma, ratio=ratio, repeats=repeats)
    assert found == pytest.approx(variance / sigma**2, rel=1e-12)


@pytest.mark.parametrize("images", [normal(30, 2, 3), complex_normal(30, 2, 3)], ids=["real", "complex"])
def test_technique_one_is_the_largest_distance(images, monkeypatch):
    pairs = [(a - b).abs().square().sum().sqrt().item() for a in images for b in images]
    assert ncsn.largest_distance(images) == pytest.approx(max(pairs), rel=1e-6)
    monkeypatch.setattr(ncsn, "CHUNK", 7)
    assert ncsn.largest_distance(images) == pytest.approx(max(pairs), rel=1e-6)
    with pytest.raises(InputError, match="two images"):
        ncsn.largest_distance(images[:1])


def test_the_setting_chosen_from_data_follows_its_techniques():
    images = torch.rand(40, 3, 8, 8, generator=g()).double()
    setting = ncsn.improved(images)
    sigmas = setting.sigmas
    assert sigmas[0].item() == pytest.approx(ncsn.largest_distance(images), rel=1e-12)
    assert (sigmas[-2].item(), sigmas[-1].item()) == (pytest.approx(0.01), 0)
    ratio = (sigmas[0] / sigmas[1]).item()
    assert ratio <= ncsn.ratio(192) < ratio ** (setting.levels / (setting.levels - 2))  # one level fewer is too few
    assert setting.step == pytest.approx(ncsn.step(sigma_min=0.01, ratio=ratio, repeats=5), rel=1e-6)
    assert (setting.repeats, setting.denoise) == (5, True)


@pytest.mark.parametrize(("setting", "levels", "repeats"), [(ncsn.V1, 10, 100), (ncsn.V2_CIFAR10, 232, 5)])
def test_the_published_settings_step_as_published(setting, levels, repeats):
    """At level l, T steps of eps (sigma_l/sigma_L)^2 with noise sqrt(2 a); the second paper then denoises."""
    assert len(setting.sigmas) == levels + 1
    x = normal(3, 2)
    sigma, target = setting.sigmas[-3], setting.sigmas[-2]
    moved = setting.kernel.step(PRIOR, setting.kernel.start(x), sigma, target, g()).x
    a, generator, expected = setting.step * (sigma / 0.01) ** 2, g(), x
    for _ in range(repeats):
        z = torch.empty_like(x).normal_(generator=generator)
        expected = expected + a * PRIOR.score(expected, sigma) + (2 * a).sqrt() * z
    torch.testing.assert_close(moved, expected, rtol=1e-9, atol=1e-9)
    last = setting.kernel.step(PRIOR, setting.kernel.start(x), target, setting.sigmas[-1], g()).x
    steps = Repeat(Langevin(rate=setting.step / 1e-4), repeats)
    before = steps.step(PRIOR, State(x), target, setting.sigmas[-1], g()).x
    torch.testing.assert_close(last, PRIOR.denoise(before, target) if setting.denoise else before)


def test_annealing_finds_the_weights_that_plain_langevin_misses():
    """Methods A12: sigma 10 to .05 in 30 levels of 100 steps of .1 sigma^2: TV below .03; at .05 alone above .1."""
    setting = ncsn.AnnealedLangevin(Geometric(0.05, 10.0), 30, repeats=100, step=0.1 * 0.05**2)
    *_, annealed = walk(PRIOR, setting.kernel, 10 * normal(3000, 2), setting.sigmas, g(1))
    # three frequencies of 3000 draws have a TV of about .014 at most 4 standard errors up
    assert distance_of_weights(annealed.x) < 0.03
    *_, plain = walk(PRIOR, Langevin(rate=0.1), normal(1000, 2), torch.full((3001,), 0.05), g(1))
    assert distance_of_weights(plain.x) > 0.1


def test_uniform_noise_is_forgotten():
    """The papers' start: after annealing it makes no difference where the walk began."""
    setting = ncsn.AnnealedLangevin(Geometric(0.1, 10.0), 20, repeats=60, step=0.1 * 0.1**2, denoise=True)
    blank = torch.empty(3000, 2, dtype=torch.float64)
    x = Uniform()(PRIOR, blank, setting.sigmas[0], g())
    assert 0 <= x.min().item() < 0.01
    assert 0.99 < x.max().item() <= 1
    *_, last = walk(PRIOR, setting.kernel, x, setting.sigmas, g(1))
    assert distance_of_weights(last.x) < 0.03
