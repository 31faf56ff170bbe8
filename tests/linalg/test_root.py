"""The square root of a symmetric positive map by Lanczos' method, against the dense root."""

from __future__ import annotations

import pytest
import torch

from scorefield.linalg.root import square_root
from scorefield.linalg.solve import inner


def randn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def spectrum(values: torch.Tensor, dtype=torch.float64, seed=1) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrices (B, d, d) of given eigenvalues (B, d), and their eigenvectors."""
    basis = torch.linalg.qr(randn(*values.shape, values.shape[1], dtype=dtype, seed=seed)).Q
    return basis * values[:, None].to(dtype) @ basis.mH, basis


def times(matrices: torch.Tensor):
    return lambda v: (matrices @ v.unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_it_is_the_root_after_as_many_products_as_dimensions(dtype):
    matrices, _ = spectrum(torch.logspace(0, -6, 6).double().expand(3, 6), dtype)
    root, _ = spectrum(torch.logspace(0, -3, 6).double().expand(3, 6), dtype)
    z = randn(3, 6, dtype=dtype)
    torch.testing.assert_close(
        square_root(times(matrices), z, tolerance=0, iterations=6),
        times(root)(z),
        rtol=0,
        atol=1e-7,  # of 1: the root of eps
    )


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_the_power_is_right_after_any_number_of_products(iterations):
    """``|M^1/2 z|^2 = <z, M z>``: noise made this way has the trace of M."""
    matrices, _ = spectrum(torch.logspace(0, -4, 20).double().expand(3, 20))
    z = randn(3, 20)
    found = square_root(times(matrices), z, tolerance=0, iterations=iterations)
    torch.testing.assert_close(inner(found, found), inner(z, times(matrices)(z)), rtol=1e-10, atol=0)


def test_of_a_map_that_is_not_positive_the_positive_part_counts():
    values = torch.tensor([[1.0, 0.5, 0.2, -0.3]]).double()
    matrices, basis = spectrum(values)
    expected = basis * values.clamp(min=0).sqrt()[:, None] @ basis.mT
    z = randn(1, 4)
    torch.testing.assert_close(
        square_root(times(matrices), z, tolerance=0, iterations=4), times(expected)(z), rtol=1e-8, atol=1e-8
    )


def test_each_draw_stops_on_its_own():
    """The first map, a multiple of the identity, is solved at once; what the second one needs does not touch it."""
    matrices = torch.cat([0.25 * torch.eye(20).double()[None], spectrum(torch.logspace(0, -4, 20).double()[None])[0]])
    z, seen = randn(2, 20), []

    def counted(v):
        seen.append(v)
        return times(matrices)(v)

    both = square_root(counted, z)
    assert len(seen) > 2
    torch.testing.assert_close(both[0], z[0] / 2, rtol=1e-12, atol=0)
    for k in range(2):
        alone = square_root(times(matrices[k : k + 1]), z[k : k + 1])
        torch.testing.assert_close(both[k : k + 1], alone, rtol=1e-12, atol=1e-14)


def test_its_tolerance_is_the_change_by_one_more_product():
    matrices, _ = spectrum(torch.logspace(0, -2, 30).double()[None])
    z = randn(1, 30)
    exact = square_root(times(matrices), z, tolerance=0, iterations=30)
    for tolerance in (0.1, 1e-2, 1e-3):
        found = square_root(times(matrices), z, tolerance=tolerance, iterations=30)
        assert float((found - exact).norm() / exact.norm()) < 3 * tolerance


def test_one_map_that_diverges_does_not_spoil_the_others():
    matrices = torch.eye(4).double().repeat(2, 1, 1)
    matrices[1, 0, 0] = torch.nan
    found = square_root(times(matrices), randn(2, 4))
    assert bool(found[0].isfinite().all())
    assert bool(found[1].isnan().all())
