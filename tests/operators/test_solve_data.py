"""The covariance of the data, solved without a closed form."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.linalg.covariance import Isotropic
from scorefield.noise import Weighted, White
from scorefield.operators import parallel_beam, sides
from support import normal


@pytest.fixture
def scan():
    """Rays through 256 mm: singular values of hundreds, so that ``r A`` is thousands of times the noise."""
    return parallel_beam((1, 32, 32), torch.arange(20) * math.pi / 20, 48, pixel_spacing=8.0)


@pytest.mark.parametrize("unequal", [False, True])
def test_images_see_the_solution(scan, unequal):
    """``A^H u`` against a dense solve, with equal noise and with noise of two decades."""
    matrix = scan.matrix.to_dense().double()
    std = torch.logspace(-1, 1, matrix.shape[0]).double() if unequal else torch.ones(matrix.shape[0]).double()
    noise = Weighted(std.reshape(scan.shape_out)) if unequal else White(1.0)
    v, spread = normal(1, *scan.shape_out), 0.04**2
    exact = torch.linalg.solve((std**2).diag() + spread * matrix @ matrix.T, v.flatten())
    found = scan.gram_solve(noise, Isotropic(torch.tensor(spread).double()), v).flatten()
    wanted = matrix.T @ exact
    torch.testing.assert_close(matrix.T @ found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.std()))


def test_an_unfinished_solution_is_told(scan, monkeypatch):
    monkeypatch.setattr(sides, "ITERATIONS", 20)
    with pytest.warns(RuntimeWarning, match="solved to a relative residual of"):
        scan.gram_solve(White(0.01), Isotropic(0.04**2), normal(1, *scan.shape_out))
