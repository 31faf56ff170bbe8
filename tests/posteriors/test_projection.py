"""Projection: the published predictor-corrector chains, replacement, and the coin."""

from __future__ import annotations

import re
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from benches import tb_g
from torch import Tensor

from scorefield import kernels
from scorefield.kernels import Ancestral, Kernel, Project
from scorefield.measurement import Measurement
from scorefield.posteriors import Projection
from scorefield.sampling import walk
from scorefield.schedules import Geometric, Karras
from scorefield.start import begin
from support import monte_carlo_floor, normal, relative_wasserstein

BENCH = tb_g()
A, Y, PRIOR, GIVEN = BENCH.matrix, BENCH.measurement.y[0], BENCH.prior, BENCH.measurement
U, D, VT = torch.linalg.svd(A)
PINV = torch.linalg.pinv(A)
SIGMAS = Karras(0.02, 20.0).grid(12)  # from far above the noise of the data to far below, then 0
START = 20 * normal(5, 8, seed=2)
EYE = torch.eye(8, dtype=torch.float64)


def g() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def ours(law, kernel) -> Tensor:
    *_, last = walk(law, kernel, START, SIGMAS, g())
    return last.x


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-8) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


RECIPE = re.findall(r"``(Then\(.+)``", Project.__doc__ or "")


def published(measurement: Measurement, r: float, **options: float) -> Kernel[Any]:
    """The chain that the docstring of Project writes, with the options given to each projection."""
    (recipe,) = RECIPE
    names = {**vars(kernels), "Project": partial(Project, **options), "m": measurement, "r": r}
    return eval(recipe, names)  # the text of the docstring itself is under test


@pytest.mark.parametrize("weight", [0.5, 0.841, 1.0])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_song_and_score_mri(weight, noise):
    """Predictor, projection, corrector, projection: y_t = y + t A z (Song et al.), or y itself (score-MRI).

    The published loops correct first and project the starting noise too; the sequence of steps is the same.
    """
    r, x, stream = 0.16, START, g()

    def z() -> Tensor:
        return torch.empty_like(x).normal_(generator=stream)

    def project(x: Tensor, t: float) -> Tensor:
        c = x @ VT.T
        yt = Y @ U / D + noise * t * (z() @ VT.T)[:, :4] if noise and t else Y @ U / D
        lam = weight if t else 1.0
        return torch.cat([lam * yt + (1 - lam) * c[:, :4], c[:, 4:]], 1) @ VT

    for s, t in pairwise(SIGMAS.tolist()):
        x = x + (s**2 - t**2) * PRIOR.score(x, s) + ((s**2 - t**2) ** 0.5 * z() if t else 0)
        x = project(x, t)
        if t:
            score, fresh = PRIOR.score(x, t), z()
            e = 2 * (r * fresh.norm(dim=1).mean() / score.norm(dim=1).mean()) ** 2
            x = x + e * score + (2 * e) ** 0.5 * fresh
        x = project(x, t)
    found = ours(PRIOR, published(GIVEN, r, weight=weight, noise=noise))
    close(found, x)
    close(found @ A.T, Y.expand(5, 4))


def test_the_published_chain_samples_the_posterior_of_clean_data():
    """Relative W2 below .06 at 250 levels; with a corrector of fixed rate it is .14, without any .22."""
    bench, n = tb_g(3), 2000
    covariance, matrix = bench.prior.covariance, bench.matrix
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T)
    mean = bench.prior.mean + gain @ (bench.measurement.y[0] - matrix @ bench.prior.mean)
    spread = covariance - gain @ matrix @ covariance
    sigmas = Geometric(0.02, 10.0).grid(250)
    x = begin(bench.prior, torch.empty(n, 8).double(), sigmas[0], g())
    *_, last = walk(bench.prior, published(bench.measurement, 0.16, noise=0.0), x, sigmas, g())
    assert monte_carlo_floor(mean, spread, n) < 0.04
    assert relative_wasserstein(last.x, mean, spread) < 0.06
    close(last.x @ matrix.T, bench.measurement.y.expand(n, 4))


@pytest.mark.parametrize("iterations", [1, 2, 4])
@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_the_projection_is_as_long_as_its_iterations(iterations, weight):
    """Above level 0: lambda times the minimum over the Krylov space of k steps, for fewer steps than the rank, 4."""
    levels = torch.tensor([1.0, 0.5]).double()
    kernel = Project(GIVEN, weight=weight, noise=0.0, iterations=iterations)
    moved = kernel.step(PRIOR, kernel.start(START), *levels, g()).x
    gram, b = A.T @ A, (Y - START @ A.T) @ A
    for row, image, pull in zip(moved, START, b, strict=True):
        krylov, _ = torch.linalg.qr(
            torch.stack([torch.linalg.matrix_power(gram, k) @ pull for k in range(iterations)], 1)
        )
        best = krylov @ torch.linalg.solve(krylov.T @ gram @ krylov, krylov.T @ pull)
        close(row, image + weight * best, 1e-6)


def test_projection_at_full_strength_is_replacement():
    """Clean data: the null space moves as it does when the images themselves are replaced before every denoiser."""
    x = START
    for s, t in pairwise(SIGMAS):
        x = x + (Y - x @ A.T) @ PINV.T
        x = Ancestral(0).step(PRIOR, Ancestral(0).start(x), s, t, g()).x
    x = x + (Y - x @ A.T) @ PINV.T
    close(ours(_CleanProjection(PRIOR, GIVEN), Ancestral(0)), x)


class _CleanProjection(Projection):
    def draw(self, generator: torch.Generator | None = None) -> Projection:
        return self


def test_the_coin_is_the_noise_of_the_data():
    """A thrown coin makes x' fit y + sigma A z, the same z for every level until it is thrown again."""
    posterior = Projection(PRIOR, GIVEN)
    first, second = (posterior.draw(torch.Generator().manual_seed(seed)) for seed in (1, 1))
    other = posterior.draw(torch.Generator().manual_seed(2))
    x = normal(2000, 8)
    assert torch.equal(first.denoise(x, 0.5), second.denoise(x, 0.5))
    assert not torch.allclose(first.denoise(x, 0.5), other.denoise(x, 0.5))
    assert torch.equal(posterior.denoise(x, 0.5), posterior.draw().denoise(x, 0.5))
    # D' is affine in x', so its spread around the coinless one is J A^+ A sigma z, projected
    found = torch.cov((first.denoise(x, 0.5) - posterior.denoise(x, 0.5)).T)
    J = BENCH.prior.covariance @ torch.linalg.inv(BENCH.prior.covariance + 0.25 * EYE)
    root = 0.5 * (EYE - PINV @ A) @ J @ PINV @ A
    expected = root @ root.T
    # each entry of a covariance of n draws has standard error sqrt((C_ii C_jj + C_ij^2)/n)
    diagonal = expected.diagonal()
    error = ((torch.outer(diagonal, diagonal) + expected**2) / len(x)).sqrt()
    assert ((found - expected).abs() < 5 * error + 1e-12).all()
