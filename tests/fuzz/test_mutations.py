"""The damage of the fuzz suites is damage, and the same in every run."""

from __future__ import annotations

import numpy as np
import pytest
from mutations import BYTES, TOTAL, budget, mutate

RAW = np.random.default_rng(0).bytes(600)


@pytest.mark.parametrize("place", range(len(BYTES)))
def test_a_number_names_a_damaged_file(place):
    numbers = [place + len(BYTES) * k for k in range(1, 41)]
    damaged = [mutate(RAW, number) for number in numbers]
    assert {name for name, _ in damaged} == {BYTES[place].__name__}
    assert damaged == [mutate(RAW, number) for number in numbers]
    assert sum(content != RAW for _, content in damaged) > 30
    assert len({content for _, content in damaged}) > 20


def test_number_zero_is_the_sound_file():
    assert mutate(RAW, 0) == ("no_change", RAW)


@pytest.mark.parametrize("raw", [b"a", b"ab", bytes(17)])
def test_short_files_are_damaged_too(raw):
    for number in range(1, 200):
        mutate(raw, number)


def test_the_environment_names_the_total(monkeypatch):
    monkeypatch.delenv("SCOREFIELD_FUZZ", raising=False)
    assert (budget(), budget(0.5), budget(1e-9)) == (TOTAL, TOTAL // 2, 1)
    monkeypatch.setenv("SCOREFIELD_FUZZ", "10000")
    assert budget(0.1) == 1000
