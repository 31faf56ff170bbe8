"""Coil compression: energy, unitary rows, white noise."""

from __future__ import annotations

import pytest
import torch

from scorefield import operators as ops
from scorefield.errors import InputError
from scorefield.noise import Colored
from scorefield.randomness import normal_like

COILS = 6


def normal(*shape, seed=0):
    return normal_like(torch.empty(shape, dtype=torch.complex128), torch.Generator().manual_seed(seed))


KSPACE = torch.einsum("ij,jrc->irc", normal(COILS, COILS, seed=1), normal(COILS, 12, 9))
FACTOR = normal(COILS, COILS, seed=2)
COVARIANCE = FACTOR @ FACTOR.mH + torch.eye(COILS)


@pytest.mark.parametrize("n", range(1, COILS + 1))
def test_energy_is_that_of_the_largest_singular_values(n):
    found = ops.compress_coils(KSPACE, n)
    energies = torch.linalg.svdvals(KSPACE.flatten(1)).square()
    assert found.energy == pytest.approx(float(energies[:n].sum() / energies.sum()), rel=1e-12)
    assert float(found.kspace.abs().square().sum() / energies.sum()) == pytest.approx(found.energy, rel=1e-12)
    torch.testing.assert_close(found.matrix @ found.matrix.mH, torch.eye(n, dtype=torch.complex128))
    torch.testing.assert_close(ops.Mix(found.matrix, tuple(KSPACE.shape))(KSPACE[None])[0], found.kspace)


def test_all_coils_lose_nothing():
    found = ops.compress_coils(KSPACE, COILS, noise=Colored(COVARIANCE))
    assert found.energy == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(torch.linalg.solve(found.matrix, found.kspace.flatten(1)), KSPACE.flatten(1))


def test_two_coils_without_noise_of_their_own_are_kept_by_two():
    """Coils that are mixtures of two: two keep all, and one does not."""
    kspace = torch.einsum("ij,jrc->irc", normal(COILS, 2, seed=4), normal(2, 8, 8))
    assert ops.compress_coils(kspace, 2).energy == pytest.approx(1, abs=1e-12)
    assert ops.compress_coils(kspace, 1).energy < 0.99


@pytest.mark.parametrize("n", [2, COILS])
def test_noise_becomes_white_of_level_one(n):
    found = ops.compress_coils(KSPACE, n, noise=Colored(COVARIANCE))
    torch.testing.assert_close(found.matrix @ COVARIANCE @ found.matrix.mH, torch.eye(n, dtype=torch.complex128))
    values, vectors = torch.linalg.eigh(COVARIANCE)
    white = (vectors * values.rsqrt()) @ vectors.mH @ KSPACE.flatten(1)
    energies = torch.linalg.svdvals(white).square()
    assert found.energy == pytest.approx(float(energies[:n].sum() / energies.sum()), rel=1e-12)


@pytest.mark.parametrize("power", [-80, 100])
def test_the_unit_of_the_data_does_not_count(power):
    one, other = (ops.compress_coils(k.to(torch.complex64), 3) for k in (KSPACE, KSPACE * 2.0**power))
    assert torch.equal(one.matrix, other.matrix)
    assert one.energy == other.energy
    assert torch.equal(one.kspace * 2.0**power, other.kspace)


BAD = {
    "real k-space": (lambda: ops.compress_coils(KSPACE.real, 2), "complex k-space"),
    "zero": (lambda: ops.compress_coils(0 * KSPACE, 2), "not zero"),
    "NaN": (lambda: ops.compress_coils(KSPACE * float("nan"), 2), "NaN"),
    "no coil": (lambda: ops.compress_coils(KSPACE, 0), "1 to 6"),
    "more coils": (lambda: ops.compress_coils(KSPACE, 7), "1 to 6"),
    "noise of other coils": (lambda: ops.compress_coils(KSPACE, 2, noise=Colored(torch.eye(5))), "5 coils"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_answered_with_a_sentence(name):
    call, words = BAD[name]
    with pytest.raises(InputError, match=words):
        call()
