"""Tilings: every pixel in one patch, exact where patches are independent, and seams that average out."""

# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.kernels import Ancestral
from scorefield.lessons.tiles import Tiles
from scorefield.metrics.seams import seam_ratio
from scorefield.nets import UNet
from scorefield.objectives import GivenChannels, NoiseConditional
from scorefield.prior import Denoiser, level
from scorefield.priors import EDM, Conditional, Tiling
from scorefield.runs.cost import meter
from scorefield.sampling import sample
from scorefield.schedules import Geometric, Karras
from scorefield.training.trainer import Settings, Steps, Validation, train
from support import normal


class Pixels(Denoiser):
    """N(0, variance) pixels; keeps what it was called with.  The last two channels are positions."""

    def __init__(self, variance: float = 0.5):
        super().__init__()
        self.variance = variance

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        self.x, self.sigma = x, sigma
        gain = self.variance / (self.variance + level(sigma, x).square())
        return torch.cat([gain * x[:, :-2], x[:, -2:]], 1)


class Field(Denoiser):
    """The stationary field with covariance rho^(|rows| + |columns|), on patches of any size."""

    def __init__(self, rho: float = 0.9):
        super().__init__()
        self.rho = rho

    def wiener(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        values, bases = zip(*(torch.linalg.eigh(self.along(n)) for n in x.shape[2:]), strict=True)
        power = values[0][:, None] * values[1]
        turned = bases[0].T @ x @ bases[1]
        return bases[0] @ (turned * power / (power + level(sigma, x).square())) @ bases[1].T

    def along(self, n: int) -> Tensor:
        place = torch.arange(n, dtype=torch.float64)
        return self.rho ** (place[:, None] - place).abs()

    def draws(self, n: int, side: int) -> Tensor:
        root = torch.linalg.cholesky(self.along(side))
        return root @ normal(n, 1, side, side) @ root.T

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return torch.cat([self.wiener(x[:, :-2], sigma), x[:, -2:]], 1)


def offsets(pad: int) -> list[tuple[int, int, int]]:
    return [(i, j, 0) for i in range(pad) for j in range(pad)]


def randomized(net: nn.Module) -> nn.Module:
    net.double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net


# --- B9, the checks


@pytest.mark.parametrize(
    ("height", "width", "size", "pad"), [(16, 16, 6, 2), (9, 14, 5, 6), (4, 4, 8, 3), (7, 7, 7, 1)]
)
def test_each_pixel_is_in_exactly_one_patch(height, width, size, pad):
    """(a) for all offsets; and no patch is wholly outside of image and zeros."""
    x = normal(1, 1, height, width)
    for coin in offsets(pad):
        grid = Tiling(Pixels(), size=size, pad=pad, coin=coin).grid(x)
        heard = torch.zeros(height, width)
        for r in grid.rows:
            for c in grid.columns:
                heard[max(r, 0) : max(r + size, 0), max(c, 0) : max(c + size, 0)] += 1
        assert bool((heard == 1).all())
        assert grid.rows[0] >= -pad
        assert grid.rows[-1] < height + pad


def test_the_published_numbers():
    """256 x 256 images, P = 56, M = 24: 25 patches at every offset, within the 304 x 304 padded image."""
    x = torch.zeros(1, 1, 256, 256)
    for offset in (0, 11, 23):
        grid = Tiling(Pixels(), coin=(offset, 0, 0)).grid(x)
        assert grid.number == 25
        assert (grid.rows[0], grid.rows[-1] + 56) == (offset - 24, offset - 24 + 280)


@pytest.mark.parametrize("overlap", [0, 2])
def test_independent_pixels_do_not_see_the_tiling(overlap):
    """(b) with a pixelwise denoiser every offset is the whole image's denoiser."""
    x, sigma = normal(2, 2, 9, 7), torch.tensor([0.3, 2.0], dtype=torch.float64)
    expected = x * 0.5 / (0.5 + sigma.square().reshape(-1, 1, 1, 1))
    for coin in offsets(4):
        found = Tiling(Pixels(), size=5, pad=4, overlap=overlap, coin=coin)
        torch.testing.assert_close(found.denoise(x, sigma), expected)
        torch.testing.assert_close(found.denoise(x[:1], 0.3), expected[:1])


def interior(x: Tensor, size: int) -> Tensor:
    return x[..., size:-size, size:-size]


def test_seams_average_out():
    """(c) pixels at the borders of patches: their error falls when all offsets are averaged, or patches overlap."""
    field, side, size, sigma = Field(), 40, 8, 0.5
    x = field.draws(20, side) + sigma * normal(20, 1, side, side, seed=1)
    exact = field.wiener(x, sigma)

    def tiling(coin=(0, 0, 0), overlap=0) -> Tensor:
        return Tiling(field, size=size, pad=size, overlap=overlap, coin=coin).denoise(x, sigma)

    def border(found: Tensor) -> float:
        error = (found - exact).square()[:, 0]
        at = [i for k in range(2 * size, side - size, size) for i in (k - 1, k)]  # away from the zeros
        return error[:, at, size:-size].mean().sqrt().item()

    single, mean = tiling(), sum(map(tiling, offsets(size))) / size**2
    assert border(mean) < 0.5 * border(single)
    assert border(tiling(overlap=4)) < 0.7 * border(single)
    rows = range(0, side, size)
    ratio = {
        name: seam_ratio(image, rows, rows)
        for name, image in {"exact": exact, "one": single, "mean": mean, "overlap": tiling(overlap=4)}.items()
    }
    assert ratio["exact"] == pytest.approx(1, abs=0.05)
    assert ratio["one"] > 2
    assert ratio["mean"] == pytest.approx(1, abs=0.1)
    assert ratio["overlap"] < 1.2


def test_one_call_costs_one_evaluation_a_patch():
    """(d), as the library itself counts."""
    tiling = Tiling(Pixels(), size=5, pad=4)
    x = normal(3, 1, 9, 7)
    with meter(tiling, Ancestral(), draws=3) as run:
        drawn = run.prior.draw(torch.Generator().manual_seed(0))
        drawn.denoise(x, 0.3)
    assert run.cost.forward == 3 * drawn.grid(x).number == 3 * 9
    with meter(tiling, Ancestral(), draws=3) as run:
        _, vjp = run.prior.linearize(x, 0.3)
        vjp(x)
    assert (run.cost.forward, run.cost.backward) == (27, 27)


# --- what the network is told


def test_positions_are_those_of_training():
    """A coordinate image cut by the tiling has the positions that training saw at the same pixels."""
    pad, size, height, width = 3, 4, 9, 6
    pixels = Pixels()
    Tiling(pixels, size=size, pad=pad, coin=(2, 1, 0)).denoise(torch.zeros(1, 1, height, width), 0.1)
    tiles = Tiles([torch.zeros(1, height, width, dtype=torch.float64)], 4, pad=pad, sizes=((size, 1.0, 1),))
    generator = torch.Generator().manual_seed(0)
    trained = torch.cat([tiles(step, generator)[:, 1:] for step in range(400)])  # 108 places, each about 15 times
    assert bool((trained.abs() <= 1).all())
    grid = Tiling(Pixels(), size=size, pad=pad, coin=(2, 1, 0)).grid(torch.zeros(1, 1, height, width))
    compared = 0
    for k, (r, c) in enumerate((r, c) for r in grid.rows for c in grid.columns):
        if -pad <= r <= height + pad - size and -pad <= c <= width + pad - size:  # others reach beyond the zeros
            gaps = (trained - pixels.x[k, -2:].double()).abs().flatten(1).amax(1)
            assert gaps.min() < 1e-6
            compared += 1
    assert compared >= 2


def test_the_state_around_the_image_is_noise():
    """As in training, where the zeros got noise; fixed by the coin, other for another.

    It is the same around all images of a batch, so that the batch does not change a draw.
    """
    pixels, sigma = Pixels(), 0.7

    def around(seed: int, images: int = 1) -> Tensor:
        x = torch.full((images, 1, 8, 8), 100.0, dtype=torch.float64)
        Tiling(pixels, size=4, pad=4, coin=(0, 0, seed)).denoise(x, sigma)
        tiles = pixels.x[:, 0]
        return tiles[tiles.abs() < 50]

    every = torch.cat([around(seed) for seed in range(200)])
    assert len(every) == 200 * (9 - 4) * 16
    assert every.std().item() == pytest.approx(sigma, rel=5 / math.sqrt(2 * len(every)))
    assert len(set(every.tolist())) == len(every)
    assert torch.equal(around(1, images=3), around(1).repeat(3))


def test_each_image_has_its_own_level():
    pixels = Pixels()
    levels = torch.tensor([0.3, 2.0], dtype=torch.float64)
    tiling = Tiling(pixels, size=4, pad=2)
    tiling.denoise(normal(2, 1, 6, 6), levels)
    number = tiling.grid(normal(2, 1, 6, 6)).number
    assert torch.equal(pixels.sigma, levels.repeat_interleave(number))


@pytest.mark.parametrize("overlap", [0, 3])
def test_the_jacobian_is_autograds(overlap):
    net = randomized(UNet(channels=4, widths=(4, 6), blocks=1))
    tiling = Tiling(Conditional(net, EDM(0.4)), size=8, pad=3, overlap=overlap, coin=(1, 2, 5))
    x, v = normal(2, 2, 9, 11), normal(2, 2, 9, 11, seed=1)
    denoised, vjp = tiling.linearize(x, 0.4)
    leaf = x.clone().requires_grad_()
    again = tiling.denoise(leaf, 0.4)
    torch.testing.assert_close(denoised, again.detach())
    torch.testing.assert_close(vjp(v), torch.autograd.grad(again, leaf, v)[0])
    torch.testing.assert_close(vjp(v), vjp(v))
    assert not denoised.requires_grad


# --- the coin


def test_draws_cover_the_offsets_and_share_the_patches():
    tiling, g = Tiling(Pixels(), size=5, pad=3, overlap=2), torch.Generator().manual_seed(0)
    drawn = [tiling.draw(g) for _ in range(200)]
    assert {d.coin[:2] for d in drawn} == {(i, j) for i in range(3) for j in range(3)}
    assert len({d.coin[2] for d in drawn}) == 200
    assert all(d.patches is tiling.patches and (d.size, d.pad, d.overlap) == (5, 3, 2) for d in drawn)
    assert Tiling(Pixels(), size=5, pad=0).draw(g).coin[:2] == (0, 0)


class Recorded(Tiling):
    """Remembers the tilings that a walk drew."""

    drawn: list[Tiling]

    def draw(self, generator=None):
        self.drawn.append(super().draw(generator))
        return self.drawn[-1]


class Still(Recorded):
    """The same tiling at every step."""

    def draw(self, generator=None):
        self.drawn.append(self)
        return self


@pytest.mark.parametrize(
    ("kind", "overlap", "low", "high"), [(Still, 0, 5, 20), (Recorded, 0, 1.5, 5), (Recorded, 2, 0.9, 1.2)]
)
def test_overlaps_leave_no_seams_after_few_steps(kind, overlap, low, high):
    """8 steps: a fixed tiling shows, the last of a few random ones still does, overlapping ones do not."""
    tiling = kind(Field(), size=8, pad=8, overlap=overlap)
    tiling.drawn = []
    like = torch.empty(0, dtype=torch.float64)
    draws = sample(tiling, Ancestral(), Karras(0.02, 8.0).grid(8), n=40, seed=0, like=like.new_empty((1, 32, 32))).draws
    grids = [drawn.grid(draws) for drawn in tiling.drawn]
    inside = interior(draws, 6)
    found = [seam_ratio(inside, [r - 6 for r in grid.rows], [c - 6 for c in grid.columns]) for grid in grids]
    assert low < max(found) < high


# --- trained


def test_training_learns_what_depends_on_the_place():
    """Images bright above and dark below, of nothing else: only the position tells what a flat patch is."""
    side, generator = 16, torch.Generator().manual_seed(0)
    scene = torch.where(torch.arange(side)[:, None] < side // 2, 1.0, -1.0).expand(1, side, side)
    torch.manual_seed(0)
    patches = Conditional(UNet(channels=3, widths=(8, 12), blocks=1, bias=True), EDM(1.0))
    tiling = Tiling(patches, size=8, pad=4)
    batches = Tiles([scene], 16, pad=4, sizes=((8, 0.5, 1), (4, 0.5, 2)))
    objective = GivenChannels(NoiseConditional(Geometric(3.0, 12.0), patches.weight))
    train(
        tiling,
        [scene],
        objective=objective,
        budget=Steps(200),
        settings=Settings(rate=5e-3, average=0.9),
        batches=batches,
    )
    noisy = scene + 8.0 * torch.randn(8, 1, side, side, generator=generator)
    found = tiling.draw(generator).denoise(noisy, 8.0)
    error = (found - scene).square().mean().item()
    # without the position: +-1 seen 64 times in noise of 8, whose mean is +-1 in noise of 1
    blind = 1 - torch.tanh(1 + normal(100_000)).mean().item()
    assert error < blind / 2
    assert tiling.trained_steps == 200


def test_training_cuts_its_own_tiles_and_validates_on_full_ones():
    """Nothing but images is given: the batches of the tiling carry positions, and so do the crops of the checks."""
    torch.manual_seed(0)
    patches = Conditional(randomized(UNet(channels=3, widths=(4, 6), blocks=1)), EDM(0.5))
    tiling = Tiling(patches, size=8, pad=4)
    scene = normal(1, 20, 24)
    cut = tiling.lesson().cut
    batches, crops = cut.batches([scene], 3), cut.exam([scene], 5)
    shapes = {tuple(batches(k, torch.Generator().manual_seed(k)).shape) for k in range(60)}
    assert shapes == {(12, 3, 2, 2), (6, 3, 4, 4), (3, 3, 8, 8)}
    assert crops(0, torch.Generator().manual_seed(0)).shape == (5, 3, 8, 8)
    wide = cut.exam([scene], 200)(0, torch.Generator().manual_seed(0))
    assert bool((wide[:, 0] == 0).any())  # the zeros around the image, as in training
    assert wide[:, 1].min() == -1
    seen = []

    class Watched(Validation):
        def psnr(self, prior, clean, white, *, known=0):
            assert known == 2
            seen.append(clean.shape)
            return super().psnr(prior, clean, white, known=known)

    validation = Watched([scene], every=2, crops=6, sigmas=(0.1,))
    train(tiling, [scene], budget=Steps(4), settings=Settings(batch=4), validation=validation)
    assert seen == [(6, 3, 8, 8)] * 2


def test_batches_have_the_published_sizes_and_odds():
    tiles = Tiles([torch.zeros(1, 100, 90), torch.zeros(1, 80, 80)], 2, pad=10)
    g, seen = torch.Generator().manual_seed(0), []
    for step in range(300):
        batch = tiles(step, g)
        assert batch.shape[1] == 3
        seen.append((batch.shape[0], batch.shape[-1]))
    assert set(seen) == {(8, 16), (4, 32), (2, 64)}
    for pair, odds in (((8, 16), 0.2), ((4, 32), 0.3), ((2, 64), 0.5)):
        assert seen.count(pair) / 300 == pytest.approx(odds, abs=4 * math.sqrt(odds * (1 - odds) / 300))


def test_tiles_show_the_zeros_and_nothing_else_around_an_image():
    tiles = Tiles([torch.ones(1, 6, 6)], 200, pad=4, sizes=((4, 1.0, 1),))
    batch = tiles(0, torch.Generator().manual_seed(0))
    image, rows, columns = batch.unbind(1)
    inside = (rows.abs() <= 5 / 13 + 1e-6) & (columns.abs() <= 5 / 13 + 1e-6)  # the middle 6 of 14 pixels
    assert torch.equal(image, inside.float())
    assert bool(((image == 0).flatten(1).all(1)).any())


# --- given channels


def test_known_channels_get_no_noise_and_have_no_error():
    conditional = Conditional(randomized(UNet(channels=3, widths=(4, 4), blocks=1)), EDM(0.5), known=2)
    x = normal(5, 3, 8, 8)
    objective = GivenChannels(NoiseConditional(Karras(0.1, 3.0), conditional.weight), known=2)
    clean, sigma, noise = objective.draw(x, torch.Generator().manual_seed(0))
    assert bool((noise[:, 1:] == 0).all())
    assert bool((noise[:, :1] != 0).all())
    denoised = conditional.denoise(clean + sigma.reshape(-1, 1, 1, 1) * noise, sigma)
    assert torch.equal(denoised[:, 1:], x[:, 1:])
    error = (denoised[:, :1] - x[:, :1]).square().sum((1, 2, 3))
    torch.testing.assert_close(objective.terms(conditional, clean, sigma, noise), conditional.weight(sigma) * error / 2)


def test_known_channels_reach_the_network_as_they_are():
    class Keep(nn.Module):
        def forward(self, x, noise):
            self.x = x
            return torch.zeros_like(x)

    keep, x = Keep(), normal(2, 3, 4, 4)
    Conditional(keep, EDM(0.5), known=1).denoise(x, 2.0)
    assert torch.equal(keep.x[:, 2:], x[:, 2:])
    torch.testing.assert_close(keep.x[:, :2], x[:, :2] / math.sqrt(0.25 + 4))


# --- what is refused


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"pad": -1}, {"overlap": 29}, {"overlap": -1}, {"coin": (24, 0, 0)}, {"coin": (0, -1, 0)}]
)
def test_bad_tilings_are_refused(options):
    with pytest.raises(InputError):
        Tiling(Pixels(), **options)


def test_bad_images_and_channels_are_refused():
    with pytest.raises(InputError, match="real images"):
        Tiling(Pixels()).denoise(torch.zeros(1, 1, 8), 0.1)
    with pytest.raises(InputError, match="real images"):
        Tiling(Pixels()).denoise(torch.zeros(1, 1, 8, 8) + 0j, 0.1)
    with pytest.raises(InputError, match="together"):
        Conditional(UNet()).denoise(torch.zeros(1, 2, 8, 8), 0.1)
    with pytest.raises(InputError, match="known channel"):
        Conditional(UNet(), known=0)
    with pytest.raises(InputError, match="known channel"):
        GivenChannels(known=0)
    with pytest.raises(InputError, match="no channel to learn"):
        GivenChannels().draw(torch.zeros(1, 2, 8, 8))
    for sizes in ((), ((8, 0.0, 1),), ((8, -1.0, 1), (4, 2.0, 1))):
        with pytest.raises(InputError):
            Tiles([torch.zeros(1, 20, 20)], 2, sizes=sizes)
    with pytest.raises(InputError, match="training needs"):
        Tiles([torch.zeros(1, 10, 10)], 2, pad=2)


# --- the statistic


def test_seam_ratio_by_hand():
    """Blocks of white noise with a step between them: (2 + step^2) / 2."""
    x = normal(50, 64, 64)
    assert seam_ratio(x, range(0, 64, 8), range(3, 64, 8)) == pytest.approx(1, abs=0.02)
    stepped = x + 3.0 * (torch.arange(64) >= 32)[:, None]
    assert seam_ratio(stepped, [32], []) == pytest.approx((2 + 9) / 2, rel=0.05)
    assert seam_ratio(stepped.mT + 0j, [], [-8, 0, 32, 64]) == pytest.approx((2 + 9) / 2, rel=0.05)
    assert seam_ratio(7 * stepped, [32], []) == pytest.approx(seam_ratio(stepped, [32], []))


@pytest.mark.parametrize(("rows", "columns"), [([], []), ([0, 8, -3], [])])
def test_images_without_borders_have_no_seams(rows, columns):
    with pytest.raises(InputError, match="border inside"):
        seam_ratio(normal(8, 8), rows, columns)


def test_train_leaves_the_known_channels_clean():
    """Without an objective of the caller's, a conditional prior is trained by the one it needs."""
    seen = []

    class Watched(Conditional):
        def denoise(self, x, sigma):
            seen.append(x.detach()[:, 1:])
            return super().denoise(x, sigma)

    prior = Watched(UNet(channels=3, widths=(4, 4), blocks=1), known=2, crop=16)
    train(prior, [torch.ones(3, 16, 16)], budget=Steps(2))
    assert seen
    assert all(bool((known == 1).all()) for known in seen)
