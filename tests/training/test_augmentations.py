"""Augmentations: each one's law, one draw a crop shared by its channels, and prompt refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.lessons.augmentations import Amplitude, Dihedral, Offset, Phase
from support import complex_normal, normal

EVERY = [Dihedral(), Amplitude(0.1, 10), Offset(-2, 3), Phase()]
N = 40_000


def assert_uniform(u: Tensor, low: float, high: float) -> None:
    """Kolmogorov-Smirnov: sqrt(n) D exceeds 2.2 with probability 2 exp(-2 2.2^2) = 1e-4 under the uniform law."""
    u = ((u.flatten().sort().values - low) / (high - low)).double()
    steps = torch.arange(len(u) + 1, dtype=torch.float64) / len(u)
    distance = max(float((steps[1:] - u).max()), float((u - steps[:-1]).max()))
    assert math.sqrt(len(u)) * distance < 2.2


def test_dihedral_is_uniform_over_the_eight_symmetries_of_the_square(generator):
    square = torch.arange(9.0).reshape(1, 3, 3)
    turned = [torch.rot90(s, k, (-2, -1)) for s in (square, square.flip(-1)) for k in range(4)]
    found = Dihedral()(square.expand(N, 1, 3, 3), generator)
    counts = torch.stack([(found == t).flatten(1).all(1).sum() for t in turned])
    assert counts.sum() == N  # the eight differ, and there is nothing else
    error = math.sqrt(N * (1 / 8) * (7 / 8))
    assert (counts - N / 8).abs().max() < 4.5 * error  # 8 counts beyond 4.5 s.e.: 5e-5


def test_amplitude_is_log_uniform(generator):
    found = Amplitude(0.25, 8)(torch.ones(N, 1, 1, 1), generator)
    assert_uniform(found.log(), math.log(0.25), math.log(8))
    assert torch.equal(Amplitude(1, 1)(found, generator), found)


def test_offset_is_uniform(generator):
    found = Offset(-2, 3)(torch.ones(N, 1, 1, 1), generator)
    assert_uniform(found, -1, 4)


def test_phase_is_uniform_on_the_circle(generator):
    found = Phase()(torch.ones(N, 1, 1, 1, dtype=torch.complex128), generator)
    assert_uniform(found.angle() % (2 * math.pi), 0, 2 * math.pi)
    assert torch.allclose(found.abs(), found.real.new_ones(()))


@pytest.mark.parametrize("change", EVERY, ids=lambda a: type(a).__name__)
def test_one_draw_a_crop_is_shared_by_its_channels(change, generator):
    channel = complex_normal(50, 1, 4, 4)
    found = change(torch.cat([channel, channel], 1), generator)
    assert torch.equal(found[:, 0], found[:, 1])
    assert len({tuple(c.flatten().tolist()) for c in found}) == 50
    same = change(channel[:1].expand(50, 1, 4, 4), generator)
    assert (
        len({tuple(torch.view_as_real(c).flatten().tolist()) for c in same}) >= 7
    )  # of 8 turns, 50 draws miss 2: 1e-4


@pytest.mark.parametrize("change", EVERY[:3], ids=lambda a: type(a).__name__)
def test_complex_and_real_crops_are_changed_alike(change):
    x = complex_normal(20, 1, 4, 4)
    whole, real, single = (change(v, torch.Generator().manual_seed(3)) for v in (x, x.real, x.to(torch.complex64)))
    assert torch.equal(whole.real, real)
    assert single.dtype == torch.complex64
    assert torch.allclose(single.to(x.dtype), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", EVERY, ids=lambda a: type(a).__name__)
def test_the_input_and_the_global_generator_are_left_alone(change):
    x = complex_normal(5, 2, 3, 3)
    before, state = x.clone(), torch.get_rng_state()
    found = [change(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_what_cannot_be_changed_is_refused(generator):
    with pytest.raises(InputError, match="cannot be turned"):
        Dihedral()(normal(2, 1, 3, 4), generator)
    with pytest.raises(InputError, match="have no phase"):
        Phase()(normal(2, 1, 3, 3), generator)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Amplitude(0, 1),
        lambda: Amplitude(2, 1),
        lambda: Amplitude(1, math.inf),
        lambda: Amplitude(math.nan, 1),
        lambda: Offset(1, 0),
        lambda: Offset(-math.inf, 0),
    ],
)
def test_bad_ranges_are_refused(make):
    with pytest.raises(InputError, match="low <= high"):
        make()
