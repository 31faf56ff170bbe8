"""Expected patch log-likelihood: against closed forms for Gaussian patches, and on a photograph's kind of image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield.baselines import epll
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.nets import OffsetInvariant, PatchMixture
from scorefield.nets.overlaps import Overlaps
from scorefield.noise import White
from scorefield.operators import Identity, Operator
from support import normal

SIZE = 3


class Dense(Operator):
    """A matrix on the pixels of an image."""

    def __init__(self, matrix: Tensor, shape: tuple[int, ...]):
        super().__init__(shape, (len(matrix),))
        self.matrix = matrix

    def _apply(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.matrix).reshape(-1, *self.shape_in)


def gaussian(seed: int = 0) -> tuple[PatchMixture, Tensor]:
    """One component, and its covariance."""
    root = normal(SIZE**2, SIZE**2, seed=seed)
    covariance = root @ root.T / SIZE**2 + 0.1 * torch.eye(SIZE**2)
    net = PatchMixture(size=SIZE, components=1, hard=True).double()
    values, bases = torch.linalg.eigh(covariance)
    net.values, net.bases = values[None], bases[None]
    return net, covariance


def seen(y: Tensor, noise: float = 0.5) -> Measurement:
    return Measurement(y, Identity(tuple(y.shape)), White(noise))


@pytest.mark.parametrize("beta", [1.0, 8.0, 64.0])
def test_disjoint_gaussian_patches_are_wiener_filtered(beta):
    """C13: at beta held, x = y / (1 + b / (lambda beta + 1)) in the patch's basis; Wiener as beta grows."""
    net, covariance = gaussian()
    y, noise = normal(1, 12, 9), 0.5
    steps = int(20 * (1 + beta))
    x = epll(seen(y, noise), net, betas=[beta] * steps, stride=SIZE)
    precision = beta / noise**2
    filtered = torch.linalg.inv(
        torch.eye(9) + beta * torch.linalg.inv(precision * covariance + torch.eye(9, dtype=torch.float64))
    )
    wiener = covariance @ torch.linalg.inv(covariance + noise**2 * torch.eye(9))
    for row, column in ((0, 0), (3, 6), (9, 3)):
        window = (slice(row, row + 3), slice(column, column + 3))
        patch = y[0][window].flatten()
        found = x[0][window].flatten()
        torch.testing.assert_close(found, filtered @ patch, rtol=1e-7, atol=1e-7)
        assert (found - wiener @ patch).norm().item() < 1.5 / (1 + beta) * patch.norm().item()


def test_any_operator_solves_for_image_and_patches_together():
    """The fixed point at one beta is the minimizer over the image and the mean of its patches, by dense algebra."""
    net, covariance = gaussian()
    side, noise, beta = 5, 0.4, 3.0
    a = normal(15, side**2, seed=4) / 4
    y = normal(15, seed=5)
    x = epll(Measurement(y, Dense(a, (1, side, side)), White(noise)), net, betas=[beta] * 400)
    precision = beta / noise**2
    wiener = covariance @ torch.linalg.inv(covariance + torch.eye(9) / precision)
    pixels = torch.eye(side**2, dtype=torch.float64).reshape(-1, 1, side, side)
    overlaps = Overlaps(SIZE)
    mean = overlaps.map(pixels, lambda v, image: (v.flatten(1) @ wiener.T).reshape(v.shape), 10**6)
    mean = (mean / overlaps.map(torch.ones_like(pixels), lambda v, image: v, 10**6)).reshape(side**2, -1).T
    system = a.T @ a / noise**2 + precision * (torch.eye(side**2) - mean)
    torch.testing.assert_close(x.flatten(), torch.linalg.solve(system, a.T @ y / noise**2), rtol=1e-6, atol=1e-6)


def test_a_constant_stays_and_noise_goes():
    """With patches less their mean, an image of constants and edges: far less noise than before."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.zeros(64, 64, dtype=torch.float64)
    scene[10:40, 14:50] = 0.7
    scene[30:, 40:] += 0.4
    windows = scene.unfold(0, 4, 1).unfold(1, 4, 1).reshape(-1, 1, 4, 4)
    windows = windows + 0.01 * normal(*windows.shape)  # a covariance of full rank
    net = PatchMixture(size=4, components=8, hard=True).double()
    net.fit(windows - windows.mean((2, 3), keepdim=True), generator, iterations=30)
    noisy = scene + 0.1 * normal(64, 64, seed=9)
    found = epll(seen(noisy[None], 0.1), OffsetInvariant(net))
    gain = (noisy - scene).square().mean() / (found[0] - scene).square().mean()
    assert gain.item() > 10  # 10 dB
    shifted = epll(seen(noisy[None] + 5, 0.1), OffsetInvariant(net))
    torch.testing.assert_close(shifted, found + 5)


def test_bad_requests_are_refused():
    net, _ = gaussian()
    for betas in ((), (1.0, 0.0), (-1.0,)):
        with pytest.raises(InputError, match="positive betas"):
            epll(seen(normal(1, 5, 5)), net, betas=betas)
    for shape in ((2, 5, 5), (1, 5)):
        with pytest.raises(InputError, match="takes images"):
            epll(seen(normal(*shape)), net)
