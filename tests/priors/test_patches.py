"""Fields of experts: against a loop over every patch, against explicit matrices, and against linear solves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.kernels import Absolute, Ascent
from scorefield.measurement import Measurement
from scorefield.nets import PatchMLP
from scorefield.nets.overlaps import Overlaps
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.posteriors import AnnealedLikelihood
from scorefield.priors import FieldOfExperts
from scorefield.sampling import walk
from support import normal


class Linear(nn.Module):
    """The unitless score sigma s_V of s_V = -K v, for one image channel."""

    def __init__(self, matrix: Tensor, size: int):
        super().__init__()
        self.matrix, self.size, self.channels = matrix, size, 1

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        sigma = torch.exp(4 * noise).reshape(-1, 1)
        return (-sigma * (x.flatten(1) @ self.matrix.T)).reshape(x.shape)


class GaussianPatches(nn.Module):
    """The unitless score of N(0, C) patches at every level: s_V = -(C + sigma^2)^-1 v."""

    def __init__(self, covariance: Tensor, size: int):
        super().__init__()
        self.size, self.channels = size, 1
        self.values, self.basis = torch.linalg.eigh(covariance)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        sigma = torch.exp(4 * noise).reshape(-1, 1)
        return (-sigma * (x.flatten(1) @ self.basis) / (self.values + sigma**2) @ self.basis.T).reshape(x.shape)


def symmetric(n: int, seed: int = 0) -> Tensor:
    root = normal(n, n, seed=seed)
    return root @ root.T / n + 0.1 * torch.eye(n)


def axis(n: int, p: int, stride: int) -> tuple[list[np.ndarray], list[float], np.ndarray]:
    """Along an axis: the pixels of each patch, its votes, and how often pixels are heard, relative to p / stride."""
    first = stride - p
    starts = range(first, n, stride)
    mirrored = np.pad(np.arange(n), (-first, p), mode="symmetric")
    patches = [mirrored[s - first : s - first + p] for s in starts]
    votes = [0.5 if s < 0 or s + p > n else 1.0 for s in starts]
    heard = sum(v * np.bincount(patch, minlength=n) for patch, v in zip(patches, votes, strict=True))
    return patches, votes, heard * stride / p


def loop(net, x: Tensor, sigma: Tensor, stride: int = 1) -> Tensor:
    """``sum_c a_c G_c^T sigma s_V(G_c M x)`` brought back by M^T, patch by patch and pixel by pixel."""
    total = torch.zeros_like(x)
    (rows, up, tall), (columns, left, wide) = (axis(n, net.size, stride) for n in x.shape[2:])
    for b in range(len(x)):
        for r, first in zip(rows, up, strict=True):
            for c, second in zip(columns, left, strict=True):
                patch = x[b][:, r][:, :, c].unsqueeze(0)
                said = net(patch, sigma[b].log().reshape(1) / 4)[0] * first * second
                for k, row in enumerate(r):
                    for m, column in enumerate(c):
                        total[b, :, row, column] += said[:, k, m] / tall[row] / wide[column]
    return total


def explicit(matrix: Tensor, p: int, height: int, width: int) -> Tensor:
    """``sum_c a_c M^T G_c^T K G_c M`` with every G_c M written out as a matrix."""
    (rows, up, _), (columns, left, _) = (axis(n, p, 1) for n in (height, width))
    total = torch.zeros(height * width, height * width, dtype=torch.float64)
    for r, first in zip(rows, up, strict=True):
        for c, second in zip(columns, left, strict=True):
            pixels = [row * width + column for row in r.tolist() for column in c.tolist()]
            extract = torch.zeros(p * p, height * width, dtype=torch.float64)
            extract[torch.arange(p * p), pixels] = 1
            total += first * second * extract.T @ matrix @ extract
    return total


def unit_field(net: nn.Module) -> FieldOfExperts:
    """Every weight 1, in double precision."""
    field = FieldOfExperts(net)
    field.weights = torch.ones(field.levels, dtype=torch.float64)
    return field


# --- the sum


LAYOUTS = [
    (3, 1, (5, 4), 1),
    (2, 2, (2, 5), 1),
    (3, 1, (3, 3), 1),
    (1, 1, (3, 2), 1),
    (2, 1, (5, 4), 2),
    (4, 1, (6, 5), 2),
    (3, 2, (6, 7), 2),
    (5, 1, (5, 8), 3),
]


@pytest.mark.parametrize(("size", "channels", "shape", "stride"), LAYOUTS)
def test_the_field_is_the_loop_over_every_patch(size, channels, shape, stride):
    net = PatchMLP(size=size, channels=channels, levels=1).double()
    x, sigma = normal(2, channels, *shape), torch.tensor([0.05, 0.6], dtype=torch.float64)
    expected = loop(net, x, sigma, stride)
    field = FieldOfExperts(net, stride=stride)
    torch.testing.assert_close(field.overlap(x, sigma.reshape(-1, 1, 1, 1)), expected)
    weight, s = field.weight(sigma).reshape(-1, 1, 1, 1), sigma.reshape(-1, 1, 1, 1)
    torch.testing.assert_close(field.score(x, sigma), weight * expected / s)
    torch.testing.assert_close(field.denoise(x, sigma), x + s**2 * field.score(x, sigma))
    torch.testing.assert_close(field.denoise(x[:1], 0.05), field.denoise(x, sigma)[:1])


@pytest.mark.parametrize(("size", "shape"), [(3, (12, 12)), (2, (5, 7))])
def test_linear_experts_are_the_explicit_matrix(size, shape):
    """B1: with s_V = -K v the score is -(sum G^T K G) x, and symmetric: the padding's adjoint is right."""
    matrix = symmetric(size**2)
    field = unit_field(Linear(matrix, size))
    pixels = shape[0] * shape[1]
    images = torch.eye(pixels, dtype=torch.float64).reshape(pixels, 1, *shape)
    found = -field.score(images, 0.3).reshape(pixels, pixels)
    torch.testing.assert_close(found, explicit(matrix, size, *shape), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found, found.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "stride", "shape"),
    [(2, 2, (8, 6)), (4, 2, (6, 8)), (6, 3, (6, 9)), (3, 2, (8, 6)), (4, 2, (7, 8)), (6, 3, (7, 9))],
)
def test_a_stride_keeps_gradients_where_it_divides_the_sides(size, stride, shape):
    field, pixels = FieldOfExperts(Linear(symmetric(size**2), size), stride=stride), shape[0] * shape[1]
    images = torch.eye(pixels, dtype=torch.float64).reshape(pixels, 1, *shape)
    found = field.score(images, 0.3).reshape(pixels, pixels)
    divides = all(n % stride == 0 for n in (size, 2 * shape[0], 2 * shape[1]))
    assert torch.allclose(found, found.T) == divides


@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
@pytest.mark.parametrize("stride", [1, 2])
def test_work_is_cut_into_chunks_without_a_trace(chunk, stride):
    """Chunks of a few patches, of rows, of one image and of several: every patch once, with its own image's noise."""
    x, scale, seen = normal(3, 2, 6, 5), normal(3, 1, 1, 1, seed=1), []
    overlaps = Overlaps(3, stride)

    def experts(patches: Tensor, image: Tensor) -> Tensor:
        seen.append(len(patches))
        return patches.cumsum(-1) * scale[image]

    found = overlaps.map(x, experts, chunk)
    torch.testing.assert_close(found, scale * overlaps.map(x, lambda v, image: v.cumsum(-1), 10**6))
    assert sum(seen) == 3 * overlaps.count(6, 5)
    columns = overlaps.count(6, 5) // overlaps.cut(x).shape[1]
    assert max(seen) <= max(chunk, columns)


def test_the_way_back_is_the_adjoint():
    x = normal(2, 2, 7, 5)
    for overlaps in (Overlaps(3), Overlaps(4), Overlaps(1)):
        cut = overlaps.cut(x)
        v = normal(*cut.shape, seed=1)
        votes = overlaps.votes(7, 5).reshape(*cut.shape[1:3], 1, 1, 1)
        torch.testing.assert_close((votes * cut * v).sum(), (x * overlaps.join(v, 7, 5)).sum())


def test_experts_that_are_no_gradient_make_no_gradient():
    """The symmetry above is the experts', not an accident of the sum."""
    field = unit_field(Linear(normal(9, 9), 3))
    found = field.score(torch.eye(36, dtype=torch.float64).reshape(36, 1, 6, 6), 0.3).reshape(36, 36)
    assert not torch.allclose(found, found.T)


@pytest.mark.parametrize(("size", "stride"), [(2, 1), (3, 1), (5, 1), (2, 2), (3, 2), (4, 2), (5, 3), (4, 3), (6, 3)])
@pytest.mark.parametrize("shape", [(14, 17), (6, 6), (12, 7)])
def test_independent_pixels_are_exact(size, stride, shape):
    """The initial weight counts each pixel's evidence once, at any stride, in the corners too."""
    tau, sigma = 0.7, 0.4
    patches = GaussianPatches(tau**2 * torch.eye(size**2, dtype=torch.float64), size)
    field = FieldOfExperts(patches, stride=stride)
    assert torch.allclose(field.weights, torch.tensor(stride**2 / size**2))
    x = normal(1, 1, *shape)
    expected = x * tau**2 / (tau**2 + sigma**2)
    torch.testing.assert_close(field.denoise(x, sigma), expected, rtol=1e-6, atol=1e-6)


def test_the_average_of_overlapping_denoisers():
    """At weight 1/p^2 Tweedie's formula averages what the patches say about each pixel."""
    covariance, sigma = symmetric(9), 0.5
    field = FieldOfExperts(GaussianPatches(covariance, 3))
    x = normal(1, 1, 9, 9)
    wiener = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(9))
    said = torch.stack(
        [(wiener @ x[0, 0, 4 - a : 7 - a, 4 - b : 7 - b].flatten())[3 * a + b] for a in range(3) for b in range(3)]
    )
    assert field.denoise(x, sigma)[0, 0, 4, 4].item() == pytest.approx(said.mean().item(), rel=1e-6)


# --- the weight


def test_the_weight_is_interpolated_in_log_sigma():
    field = FieldOfExperts(PatchMLP(), levels=3, sigma_min=0.01, sigma_max=1.0)
    field.weights = torch.tensor([0.1, 0.3, 0.2])
    at = {1e-9: 0.1, 0.01: 0.1, 0.1: 0.3, 1.0: 0.2, 50.0: 0.2, 0.01 * 10**0.25: 0.15, 10**-0.5: 0.25}
    found = field.weight(torch.tensor(list(at), dtype=torch.float64).reshape(-1, 1))
    assert found.shape == (7, 1)
    assert found.flatten().tolist() == pytest.approx(list(at.values()), rel=1e-6)


def smooth_images(n: int, side: int) -> tuple[Tensor, Tensor]:
    """Correlated Gaussian images (n, 1, side, side) and their covariance."""
    place = torch.cartesian_prod(*[torch.arange(side, dtype=torch.float64)] * 2)
    covariance = torch.exp(-torch.cdist(place, place) / 2)
    draws = normal(n, side**2, seed=7) @ torch.linalg.cholesky(covariance).T
    return draws.reshape(n, 1, side, side), covariance


def test_finish_finds_the_closed_form_weight(generator):
    """w* = sigma^2 tr(B) / tr(B (C + sigma^2) B^T) for the linear correction -B x."""
    side, levels = 16, 3
    images, covariance = smooth_images(150, side)
    patch = covariance.reshape(side, side, side, side)[:3, :3, :3, :3].reshape(9, 9)
    field = FieldOfExperts(GaussianPatches(patch, 3), levels=levels, sigma_min=0.3, sigma_max=1.2)
    field.finish(list(images), generator)
    identity = torch.eye(side**2, dtype=torch.float64)
    for i, sigma in enumerate([0.3, 0.6, 1.2]):
        b = sigma**2 * explicit(torch.linalg.inv(patch + sigma**2 * torch.eye(9)), 3, side, side)
        expected = sigma**2 * torch.trace(b) / torch.trace(b @ (covariance + sigma**2 * identity) @ b.T)
        # the estimate averages 150 x 256 correlated pixels: about 1 per cent
        assert field.weights[i].item() == pytest.approx(expected.item(), rel=0.03)
        assert expected.item() * 9 - 1 > 0.05  # and 1/9 would not do


def test_finish_makes_the_denoising_error_smallest():
    images, _ = smooth_images(20, 16)
    wrong = GaussianPatches(symmetric(9), 3)
    field = FieldOfExperts(wrong, levels=2, sigma_min=0.4, sigma_max=0.8)
    field.finish(list(images), torch.Generator().manual_seed(0))
    best = field.weights.double()
    assert bool((best > 0).all())

    def error(change: float) -> float:
        again = torch.Generator().manual_seed(0)  # the very noise that finish saw, image by image
        field.weights, total = best + change, 0.0
        for image in images:
            for sigma in (0.4, 0.8):
                noise = torch.empty(1, *image.shape, dtype=torch.float64).normal_(generator=again)
                total += (field.denoise(image + sigma * noise, sigma) - image).square().sum().item()
        return total

    assert error(0.0) < min(error(1e-3), error(-1e-3))


def test_experts_that_only_harm_are_switched_off(generator):
    images, _ = smooth_images(5, 16)
    field = FieldOfExperts(Linear(-torch.eye(9, dtype=torch.float64), 3), levels=2, sigma_min=0.5)
    field.finish(list(images), generator)
    assert field.weights.tolist() == [0, 0]


def test_finish_takes_images_of_any_size(generator):
    field = FieldOfExperts(GaussianPatches(torch.eye(9), 3).float(), levels=2)
    field.finish([torch.randn(1, 140, 20), torch.randn(1, 9, 130)], generator)
    assert field.weights.dtype == torch.float32
    assert bool((field.weights > 0).all())


# --- maximum a posteriori


def test_map_with_gaussian_patches_is_the_linear_solve():
    """B3: the fixed point of the ascent solves (I/sn^2 + w sum G^T K G) x = y/sn^2."""
    side, sigma, sn, w = 12, 0.2, 0.3, 0.13
    patch = symmetric(9)
    field = FieldOfExperts(GaussianPatches(patch, 3))
    field.weights = torch.full((field.levels,), w, dtype=torch.float64)
    y = normal(1, side, side)
    precision = explicit(torch.linalg.inv(patch + sigma**2 * torch.eye(9)), 3, side, side)
    system = torch.eye(side**2) / sn**2 + w * precision
    expected = torch.linalg.solve(system, y.flatten() / sn**2)
    posterior = AnnealedLikelihood(field, Measurement(y, Identity((1, side, side)), White(sn)), inflation=0)
    values = torch.linalg.eigvalsh(system)
    steps = math.ceil(values[-1] / values[0] * math.log(1e7))
    assert steps < 3000
    levels = torch.full((steps + 1,), sigma, dtype=torch.float64)
    start = torch.zeros(1, 1, side, side, dtype=torch.float64)
    *_, last = walk(posterior, Ascent(Absolute(1 / values[-1].item())), start, levels, torch.Generator())
    assert ((last.x.flatten() - expected).norm() / expected.norm()).item() < 1e-5


# --- what is refused


@pytest.mark.parametrize("x", [torch.zeros(1, 1, 2, 5), torch.zeros(1, 2, 5, 5), torch.zeros(1, 5, 5), torch.zeros(5)])
def test_images_that_do_not_fit_are_refused(x):
    with pytest.raises(InputError, match="FieldOfExperts takes images"):
        FieldOfExperts(PatchMLP()).overlap(x, torch.ones(1, 1, 1, 1))


def test_there_is_no_score_of_clean_images():
    field = FieldOfExperts(PatchMLP())
    with pytest.raises(InputError, match="sigma = 0"):
        field.score(torch.zeros(1, 1, 5, 5), 0.0)
    assert torch.equal(field.denoise(torch.ones(1, 1, 5, 5), 0.0), torch.ones(1, 1, 5, 5))


def test_images_smaller_than_a_patch_are_refused():
    with pytest.raises(InputError, match="Patches of side 3"):
        Overlaps(3).map(normal(1, 1, 2, 8), lambda patches, image: patches, 9)


@pytest.mark.parametrize("stride", [0, 4])
def test_strides_that_leave_pixels_out_are_refused(stride):
    with pytest.raises(InputError, match="1 <= stride <= size"):
        FieldOfExperts(PatchMLP(), stride=stride)


@pytest.mark.parametrize("options", [{"levels": 1}, {"sigma_min": 0.0}, {"sigma_min": 2.0}, {"sigma_max": 0.01}])
def test_bad_levels_are_refused(options):
    with pytest.raises(InputError, match="levels >= 2"):
        FieldOfExperts(PatchMLP(), **options)
