"""Kernels in combination: each part acts as it does alone, in order, with its own memory."""

from __future__ import annotations

import pytest
import torch
from benches import tb_g

from scorefield.kernel import Repeat, State, Then
from scorefield.kernels import HMC, MALA, Absolute, Ancestral, Ascent, DPMpp2M, Heun, Hold, Langevin
from scorefield.sampling import walk
from scorefield.schedules import Karras
from support import normal

BENCH = tb_g()


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_state_moves_with_its_memory():
    state = State(torch.zeros(1), memory="kept")
    moved = state.at(torch.ones(1))
    assert (moved.x.item(), moved.memory, state.x.item()) == (1, "kept", 0)


def test_then_repeat_and_hold_are_what_they_say():
    x, (s, t) = normal(3, 8), torch.tensor([0.7, 0.4], dtype=torch.float64)
    first, second = Ancestral(), Langevin(rate=0.3)
    together = Then(first, Repeat(Hold(second), 3))
    found = together.step(BENCH.prior, together.start(x), s, t, g())
    generator = g()
    expected = first.step(BENCH.prior, first.start(x), s, t, generator)
    for _ in range(3):
        expected = second.step(BENCH.prior, expected, t, t, generator)
    assert torch.equal(found.x, expected.x)


def test_each_part_keeps_its_own_memory():
    """A multistep solver inside Then walks exactly as it does alone, when the other part does nothing."""
    sigmas = Karras(0.05, 5.0).grid(9)
    x = 5 * normal(3, 8)
    alone = list(walk(BENCH.prior, DPMpp2M(), x, sigmas, g()))
    idle = Then(DPMpp2M(), Ascent(Absolute(1e-300)))
    paired = list(walk(BENCH.prior, idle, x, sigmas, g()))
    assert all(torch.equal(a.x, b.x) for a, b in zip(alone, paired, strict=True))


@pytest.mark.parametrize("nest", [lambda k: Repeat(k, 1), lambda k: Then(k, Repeat(Hold(Ascent(Absolute(1e-300))), 2))])
def test_nesting_changes_nothing_by_itself(nest):
    sigmas, x = Karras(0.05, 5.0).grid(6), 5 * normal(3, 8)
    *_, plain = walk(BENCH.prior, Heun(), x, sigmas, g())
    *_, nested = walk(BENCH.prior, nest(Heun()), x, sigmas, g())
    assert torch.equal(plain.x, nested.x)


def test_hold_leaves_clean_images():
    x, (s, t) = normal(3, 8), torch.tensor([0.7, 0.0], dtype=torch.float64)
    kernel = Hold(Langevin())
    assert torch.equal(kernel.step(BENCH.prior, kernel.start(x), s, t, g()).x, x)


def test_a_combination_reports_what_its_parts_report():
    """Two proposing kernels, one after the other: every proposal of either counts, and memories stay apart."""
    x, s = normal(4, 8), torch.tensor(0.7, dtype=torch.float64)
    kernel = Then(Repeat(MALA(), 2), Hold(Repeat(HMC(), 3)))
    state = kernel.step(BENCH.prior, kernel.start(x), s, s, g())
    state = kernel.step(BENCH.prior, state, s, s, g(1))
    first, second = state.memory
    assert torch.equal(state.info.proposals, torch.full((4,), 10.0, dtype=torch.float64))
    assert torch.equal(state.info.accepted, first.info.accepted + second.info.accepted)
    assert first.info.proposals.tolist() == [4] * 4
