"""Block matching and 3-D filtering: transforms, exact invariances, limits, and the gain over total variation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scorefield.baselines import BM3D, bm3d, tuned_total_variation
from scorefield.baselines.bm3d import BlockTable, cosine, filter_groups, haar
from scorefield.data.phantoms import Disks
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import psnr
from scorefield.noise import White
from scorefield.operators import Identity, Mask
from support import complex_normal, normal

SMALL = BM3D(window=15, groups=(8, 16))
LIKE = torch.zeros(1, dtype=torch.float64)
# 32 = 8 + 8 * 3: the grid of references is its own mirror image
NOISY = Disks(32).draw(1, torch.Generator().manual_seed(0)).double() + 0.1 * normal(1, 1, 32, 32)


def given(y: torch.Tensor, std: float = 0.1) -> Measurement:
    return Measurement(y.unsqueeze(0), Identity(tuple(y.shape)), White(std))


@pytest.mark.parametrize("transform", [cosine, haar])
@pytest.mark.parametrize("n", [1, 2, 8, 32])
def test_transforms_are_orthonormal_and_begin_with_the_mean(transform, n):
    basis = transform(n, LIKE)
    torch.testing.assert_close(basis @ basis.T, torch.eye(n, dtype=torch.float64))
    torch.testing.assert_close(basis[0], torch.full((n,), n**-0.5, dtype=torch.float64))


def test_haar_details_are_differences_of_neighboring_means():
    x = normal(8)
    found = haar(8, LIKE) @ x
    halves = x.reshape(2, 4).mean(1)
    torch.testing.assert_close(found[1], (halves[0] - halves[1]) * math.sqrt(2))
    torch.testing.assert_close(found[4:], (x[::2] - x[1::2]) / math.sqrt(2))


def test_cosine_transform_is_that_of_its_definition():
    from scipy.fft import dctn

    image = normal(11, 13)
    table = BlockTable(image, 8)
    block = torch.from_numpy(dctn(image[2:10, 3:11].numpy(), norm="ortho"))
    torch.testing.assert_close(table.rows[2 * 6 + 3].reshape(8, 8), block)


@pytest.mark.parametrize("shape", [(20, 23), (8, 30)])
def test_matches_are_the_nearest_blocks_in_the_window_by_brute_force(shape):
    image, step, reach, count = normal(*shape), 3, 5, 4
    blocks = image.unfold(0, 8, 1).unfold(1, 8, 1)
    rows, columns = blocks.shape[:2]
    indices, distances = BlockTable(image, 8).matches(step, reach, count)
    references = set()
    for places, found in zip(indices, distances, strict=True):
        r, c = divmod(int(places[0]), columns)
        references.add((r, c))
        square = (blocks - blocks[r, c]).square().sum((2, 3))
        square[r, c] = -1  # itself first
        near = torch.full_like(square, math.inf)
        window = (slice(max(0, r - reach), r + reach + 1), slice(max(0, c - reach), c + reach + 1))
        near[window] = square[window]
        nearest = near.flatten().topk(count, largest=False)
        assert places.tolist() == nearest.indices.tolist()
        torch.testing.assert_close(found, nearest.values)
    grids = [{*range(0, n, step), n - 1} for n in (rows, columns)]
    assert references == {(r, c) for r in grids[0] for c in grids[1]}
    assert len(indices) == len(references)


@pytest.mark.parametrize("settings", [BM3D(window=9, groups=(4, 4)), BM3D(2, 1, 1, (1, 1)), BM3D(8, 8, 3, (1, 2))])
def test_gains_of_one_give_the_image_back(settings):
    """Of all gains 1, nothing is left to average: any grouping, any window, the same image."""
    image = normal(21, 26)
    table = BlockTable(image, settings.block)
    torch.testing.assert_close(settings.one_pass(table, table, 0, torch.ones_like, 1.0), image)


def test_a_group_is_weights_of_blocks_by_the_inverse_of_its_squared_gains_and_keeps_its_mean():
    """Gains one half but for the group's mean: half of each block's difference from it, weight 1 / (1 + 7 / 4)."""
    rows = normal(5, 4)
    total, weights_of_blocks = torch.zeros(5, 4, dtype=torch.float64), torch.zeros(5, 1, dtype=torch.float64)
    group = torch.tensor([[3], [0]])
    filter_groups(group, rows, rows, lambda s: torch.full_like(s, 0.5), total, weights_of_blocks)
    mean, weight = torch.zeros(4, dtype=torch.float64), 1 / (1 + 7 / 4)
    mean[0] = (rows[3, 0] + rows[0, 0]) / 2
    for block in (0, 3):
        torch.testing.assert_close(total[block], weight * (mean + rows[block]) / 2)
    assert weights_of_blocks.flatten().tolist() == pytest.approx([weight, 0, 0, weight, 0])
    assert not total[[1, 2, 4]].any()


def test_blocks_go_back_under_a_kaiser_window_by_brute_force():
    table = BlockTable(normal(10, 11), 8)
    weights = normal(12, 1).abs()
    blocks = normal(12, 8, 8)
    window = torch.from_numpy(np.outer(np.kaiser(8, 2.0), np.kaiser(8, 2.0)))
    above, below = torch.zeros(10, 11, dtype=torch.float64), torch.zeros(10, 11, dtype=torch.float64)
    for i, (block, weight) in enumerate(zip(blocks, weights, strict=True)):
        place = (slice(i // 4, i // 4 + 8), slice(i % 4, i % 4 + 8))
        above[place] += weight * window * block
        below[place] += weight * window
    spectra = cosine(8, LIKE) @ blocks @ cosine(8, LIKE).T
    torch.testing.assert_close(table.image(weights * spectra.flatten(1), weights, 2.0), above / below)


def test_a_block_below_the_threshold_keeps_its_mean():
    image = normal(8, 8)
    torch.testing.assert_close(BM3D(groups=(1, 1), threshold=100.0)(image, 1.0), image.mean().expand(8, 8))


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (2, 3, 15, 18), (9, 8)])
@pytest.mark.parametrize("sigma", [1e-3, 1.0])
def test_constants_stay(shape, sigma):
    constant = torch.full(shape, 0.7, dtype=torch.float64)
    torch.testing.assert_close(BM3D()(constant, sigma), constant)


def test_without_noise_the_image_comes_back():
    torch.testing.assert_close(SMALL(NOISY, 1e-7), NOISY, rtol=0, atol=1e-6)


def test_shift_and_scale_of_intensity_pass_through():
    found = SMALL(NOISY, 0.1)
    torch.testing.assert_close(SMALL(NOISY + 3, 0.1), found + 3)
    torch.testing.assert_close(SMALL(-50 * NOISY, 5.0), -50 * found)


@pytest.mark.parametrize(
    "turn", [lambda x: x.mT, lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.rot90(1, (-2, -1))]
)
def test_mirrored_and_turned_images_too(turn):
    torch.testing.assert_close(SMALL(turn(NOISY).contiguous(), 0.1), turn(SMALL(NOISY, 0.1)))


def test_images_of_a_batch_and_parts_of_complex_ones_are_filtered_one_by_one():
    batch = torch.cat([NOISY, 2 * NOISY.flip(-1)], 1).expand(2, 2, 32, 32)
    found = SMALL(batch, 0.1)
    for channel in range(2):
        torch.testing.assert_close(found[1, channel], SMALL(batch[1, channel], 0.1))
    y = complex_normal(2, 16, 16)
    parts = torch.complex(SMALL(y.real, 0.5), SMALL(y.imag, 0.5))
    torch.testing.assert_close(SMALL(y, 0.5), parts)
    assert SMALL(y.to(torch.complex64), 0.5).dtype == torch.complex64


def test_the_baseline_is_the_filter_at_the_noise_of_the_measurement():
    volume = NOISY.reshape(1, 2, 16, 32)
    torch.testing.assert_close(bm3d(given(volume), 1.3, settings=SMALL), SMALL(volume, 0.13))
    torch.testing.assert_close(bm3d(given(NOISY[0])), BM3D()(NOISY, 0.1)[0])


def test_it_is_above_total_variation_at_its_best_on_a_photograph():
    """And Wiener's pass above the first alone."""
    from skimage.data import camera

    photograph = torch.from_numpy(camera()).double() / 255
    truth = F.avg_pool2d(photograph[None], 2)[:, 40:120, 100:180]
    y = truth + 0.1 * normal(1, 80, 80)
    found = psnr(BM3D()(y, 0.1), truth, peak=1.0)
    assert found > tuned_total_variation(given(y), truth).psnr + 0.5 - 20 * math.log10(float(truth.max()))
    table = BlockTable(y[0] - y.mean(), 8)
    first = BM3D().one_pass(table, table, 0, lambda s: (s.abs() > 0.27).to(s), 0.1) + y.mean()
    assert found > psnr(first[None], truth, peak=1.0)


def test_of_pure_noise_the_first_pass_leaves_what_the_threshold_lets_through():
    """E[z^2; |z| > 2.7] = .063 of a coefficient, and at most the mean of a block; averages of blocks have less."""
    noise = normal(64, 64)
    table = BlockTable(noise, 8)
    first = BM3D().one_pass(table, table, 0, lambda s: (s.abs() > 2.7).to(s), 1.0)
    passed = 2 * (2.7 * math.exp(-(2.7**2) / 2) / math.sqrt(2 * math.pi) + 0.5 * math.erfc(2.7 / math.sqrt(2)))
    assert first.square().mean().item() < passed + 1 / 64
    assert BM3D()(noise, 1.0).square().mean().item() < first.square().mean().item()


def test_what_is_refused():
    options: list[dict[str, Any]] = [
        {"block": 1},
        {"step": 0},
        {"step": 9},
        {"window": 4},
        {"groups": (12, 32)},
        {"groups": (0, 32)},
        {"similar": (0.0, 1.0)},
        {"threshold": -1.0},
        {"kaiser": 0.0},
    ]
    for wrong in options:
        with pytest.raises(InputError, match="BM3D needs"):
            BM3D(**wrong)
    with pytest.raises(InputError, match="at least 8"):
        BM3D()(normal(7, 20), 0.1)
    for sigma in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="level"):
            BM3D()(normal(16, 16), sigma)
    y = normal(1, 16, 16)
    with pytest.raises(InputError, match="strength"):
        bm3d(given(y), 0.0)
    with pytest.raises(InputError, match="white noise"):
        bm3d(Measurement(y[None], Mask(torch.ones_like(y), (1, 16, 16)), White(0.1)))
    with pytest.raises(InputError, match="spatial"):
        bm3d(given(y[0]))
