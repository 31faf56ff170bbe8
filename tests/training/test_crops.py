"""Crops: fair windows of the images, the same at every visit of a step, mixed as asked, and prompt refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.lessons.augmentations import Amplitude, Dihedral, Phase
from scorefield.lessons.crops import Balance, Crops
from support import complex_normal, normal


def seeded(step: int, seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + step)


def windows(image: Tensor, side: int) -> set[tuple]:
    """Every window of ``image``, as nested tuples of numbers."""
    rows, columns = (size - side + 1 for size in image.shape[1:])
    found = (image[:, a : a + side, b : b + side] for a in range(rows) for b in range(columns))
    return {tuple(w.flatten().tolist()) for w in found}


def test_crops_are_parts_of_the_images_turned_and_flipped(generator):
    image = torch.arange(35.0).reshape(1, 5, 7)
    found = Crops([image], 4, 1000)(0, generator)
    assert found.shape == (1000, 1, 4, 4)
    turned = [torch.rot90(image, k, (-2, -1)) for k in range(4)]
    possible = set().union(*(windows(v, 4) for t in turned for v in (t, t.flip(-1))))
    seen = {tuple(c.flatten().tolist()) for c in found}
    assert len(possible) == 64
    assert seen == possible  # 1000 draws miss one of 64 with probability 64 (63/64)^1000 < 1e-5


def test_windows_are_uniform(generator):
    image = torch.arange(12.0).reshape(1, 3, 4)
    found = Crops([image], 2, 12_000, augment=())(0, generator)[:, 0, 0, 0]
    counts = torch.stack([(found == corner).sum() for corner in (0, 1, 2, 4, 5, 6)])
    assert counts.sum() == 12_000
    assert (counts - 2000).abs().max() < 4.5 * math.sqrt(12_000 * (1 / 6) * (5 / 6))


def test_images_are_chosen_by_their_area(generator):
    images = [torch.zeros(1, 8, 8), torch.ones(1, 24, 8)]
    found = Crops(images, 8, 4000)(0, generator).mean().item()
    assert found == pytest.approx(0.75, abs=4 * math.sqrt(0.75 * 0.25 / 4000))


def test_every_size_channel_and_layout_is_cut_right(generator):
    """Images of all sizes, some laid out otherwise in memory, two complex channels: each crop is a window of one."""
    images = [
        complex_normal(2, 5, 9, seed=1),
        complex_normal(2, 7, 4, seed=2).mT,
        complex_normal(2, 6, 12, seed=3)[..., ::2],
        complex_normal(2, 4, 4, seed=4),
    ]
    found = Crops(images, 4, 400, augment=())(0, generator)
    seen = {tuple(c.flatten().tolist()) for c in found}
    assert found.dtype == torch.complex128
    assert seen == set().union(*(windows(image, 4) for image in images))  # 30 windows, the rarest one draw in 90


def test_images_take_turns_at_random(generator):
    """The places in a batch say nothing of the image: halves of a batch may go to different processes."""
    images = [torch.full((1, 4, 4), float(k)) for k in range(2)]
    found = Crops(images, 2, 4000)(0, generator)[:, 0, 0, 0]
    assert found[:2000].mean().item() == pytest.approx(0.5, abs=4.5 * math.sqrt(0.25 / 2000))


# --- resuming


def several(kind: torch.dtype = torch.float64) -> list[Tensor]:
    return [
        complex_normal(1, 9, 7 + k, seed=k).to(kind) if kind.is_complex else normal(1, 9, 7 + k, seed=k)
        for k in range(3)
    ]


@pytest.mark.parametrize("kind", [torch.float64, torch.complex64])
def test_a_batch_depends_on_nothing_but_images_seed_and_step(kind):
    def make() -> Crops:
        augment = (Dihedral(), Amplitude(0.5, 2), *([Phase()] if kind.is_complex else []))
        return Crops(several(kind), 4, 32, augment=augment, balance=Balance(0.5, threshold=0.9))

    whole = make()
    run = [whole(step, seeded(step)) for step in range(6)]
    resumed = make()
    for step in (4, 5, 1):  # killed and begun again, in any order
        assert torch.equal(resumed(step, seeded(step)), run[step])
    assert not torch.equal(run[4], run[5])
    assert not torch.equal(resumed(4, seeded(4, seed=1)), run[4])


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    Crops(several(), 4, 32, balance=Balance(threshold=0.9))(0, seeded(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_images_may_change_with_the_step():
    images = several()

    def at(step: int) -> dict[int, Tensor]:
        return {step % 3: images[step % 3]}

    crops = Crops(at, 4, 32)
    for step in (0, 1, 2, 0):
        assert torch.equal(crops(step, seeded(0)), Crops([images[step % 3]], 4, 32)(0, seeded(0)))


# --- balance


def halves(textured: int, side: int = 40) -> Tensor:
    """An image whose first ``textured`` columns alternate between 0 and 1, and which is 0 elsewhere."""
    image = torch.zeros(1, side, side)
    image[:, :, :textured:2] = 1
    return image


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("columns", [4, 38])
def test_the_share_of_textured_crops_is_kept(share, columns):
    """In each batch within one crop, and on average exactly: floor(25 share + U) has mean 25 share."""
    crops = Crops([halves(columns)], 2, 25, balance=Balance(share, threshold=0.1, candidates=8))
    counts = torch.tensor([float((crops(s, seeded(s)).flatten(1).std(1) > 0.1).sum()) for s in range(200)])
    assert (counts - 25 * share).abs().max() < 1
    part = 25 * share % 1
    assert counts.mean().item() == pytest.approx(25 * share, abs=4.5 * math.sqrt(part * (1 - part) / 200) + 1e-9)


def test_each_kind_keeps_its_law(generator):
    """Among the textured crops, and among the flat ones, every window is as frequent as any other."""
    image = torch.cat([normal(1, 3, 6), torch.arange(12.0, dtype=torch.float64).repeat(3, 1)[None] * 1e-6], 2)
    crops = Crops([image], 3, 8000, augment=(), balance=Balance(0.25, threshold=1e-3, candidates=4))
    found = crops(0, generator)[:, 0, 0, 0]
    corners = image[0, 0, :16]
    counts = torch.stack([(found == corner).sum() for corner in corners])
    textured = crops.balance.texture(torch.stack([image[:, :, a : a + 3] for a in range(16)])) > 1e-3  # pyright: ignore
    assert counts.sum() == 8000
    for kind, share in ((textured, 0.25), (~textured, 0.75)):
        assert 0 < int(kind.sum()) < 16
        p = share / int(kind.sum())
        assert (counts[kind] - 8000 * p).abs().max() < 4.5 * math.sqrt(8000 * p * (1 - p))


@pytest.mark.parametrize("image", [halves(40), halves(0)], ids=["all textured", "all flat"])
def test_with_one_kind_only_the_batch_is_of_it(image, generator):
    found = Crops([image], 2, 30, balance=Balance(0.5, threshold=0.1))(0, generator)
    assert found.shape == (30, 1, 2, 2)
    assert (found.flatten(1).std(1) > 0.1).all() == bool(image.any())


def test_a_kind_with_too_few_is_repeated(generator):
    """One textured window in a thousand: the share holds, whenever there is one at all."""
    image = torch.zeros(1, 32, 32)
    image[0, 0, 0] = 1  # one window of 961
    crops = Crops([image], 2, 10, balance=Balance(0.5, threshold=0.1, candidates=100))
    counts = {int(crops(s, generator).any(-1).any(-1).sum()) for s in range(20)}
    assert counts == {0, 5}  # none is among 1000 windows with probability 0.35


def test_texture_is_the_deviation_of_the_channel_that_varies_most():
    x = complex_normal(6, 3, 4, 4)
    expected = x.flatten(2).var(-1, correction=0).amax(1).sqrt()
    assert torch.allclose(Balance().texture(x), expected)
    assert torch.allclose(Balance().texture(5 * x + 7), 5 * expected)  # in image units, whatever the mean


# --- refusals


@pytest.mark.parametrize(
    ("images", "match"),
    [
        ([], "no images"),
        ([torch.zeros(1, 64, 64), torch.zeros(1, 64, 15)], "Image 1 has shape"),
        ([torch.zeros(64, 64)], "Image 0 .* H, W >= 16"),
        ([torch.zeros(1, 16, 16), torch.zeros(2, 16, 16)], "Image 1 has 2 channel"),
        ([torch.zeros(1, 16, 16)] * 2 + [torch.zeros(1, 16, 16, dtype=torch.complex64)], "Image 2 .*complex64"),
        ([torch.zeros(1, 16, 16, dtype=torch.uint8)], "Image 0 is of torch.uint8; convert"),
    ],
)
def test_images_that_do_not_do_are_refused(images: Sequence[Tensor], match, generator):
    with pytest.raises(InputError, match=match):
        Crops(images, 16, 2)
    later = Crops(lambda step: dict(enumerate(images)), 16, 2)
    with pytest.raises(InputError, match=match):
        later(0, generator)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Crops([torch.zeros(1, 4, 4)], 0, 2),
        lambda: Crops([torch.zeros(1, 4, 4)], 2, 0),
        lambda: Balance(share=1.1),
        lambda: Balance(share=math.nan),
        lambda: Balance(threshold=-1),
        lambda: Balance(candidates=0),
    ],
)
def test_bad_numbers_are_refused(make):
    with pytest.raises(InputError, match=r"at least 1|needs 0 <= share"):
        make()
