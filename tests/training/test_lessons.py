"""Lessons: what a prior says of its training, changes to it, and how often a training reads its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scorefield.data.phantoms import Disks
from scorefield.errors import InputError
from scorefield.lessons import Windows
from scorefield.lessons.shelf import Shelf
from scorefield.nets import PatchMLP, UNet
from scorefield.objectives import Denoising, GivenChannels, NoiseConditional
from scorefield.priors import (
    AsComplex,
    Conditional,
    Energy,
    FieldOfExperts,
    Frozen,
    IndependentParts,
    MultiScale,
    Network,
    Scaled,
    Tiling,
)
from scorefield.schedules import Geometric
from scorefield.training.trainer import Epochs, Settings, Steps, train


def unet(channels: int = 1) -> UNet:
    return UNet(channels=channels, widths=(4,), blocks=1)


def images(n: int = 6) -> list[Tensor]:
    return [image[:, :40, :40] for image in Disks().draw(n, torch.Generator().manual_seed(0))]


def weights(prior: torch.nn.Module) -> Tensor:
    return torch.cat([t.flatten() for t in prior.state_dict().values()])


LEARNERS = {
    "network": lambda: Network(unet(), crop=16),
    "energy": lambda: Energy(unet(), crop=16),
    "experts": lambda: FieldOfExperts(PatchMLP(size=3, levels=1)),
    "conditional": lambda: Conditional(unet(3), known=2, crop=16),
    "tiling": lambda: Tiling(Conditional(unet(3), known=2), size=16, pad=4),
    "complex": lambda: AsComplex(FieldOfExperts(PatchMLP(size=3, channels=2))),
    "two parts": lambda: IndependentParts(Network(unet(), crop=16)),
}


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_a_lesson_trains_the_weights_of_its_prior(make):
    prior = make()
    lesson = prior.lesson()
    assert lesson.prior is prior
    assert lesson.lesson() is lesson
    mine = {p.data_ptr() for p in prior.parameters()}
    assert {p.data_ptr() for p in lesson.trainee.parameters()} == mine
    batch = torch.zeros(2, 1 + lesson.cut.known, 16, 16) + (
        0j if isinstance(prior, (AsComplex, IndependentParts)) else 0
    )
    moved = lesson.over(Geometric(1.0, 1.001))
    *_, sigma, noise = moved.objective.draw(batch, torch.Generator().manual_seed(0))
    assert bool(((sigma >= 1.0) & (sigma <= 1.001)).all())
    assert bool((noise[:, 1:] == 0).all())  # the known channels


def test_only_a_lesson_on_many_levels_moves():
    lesson = replace(Network(unet()).lesson(), objective=Denoising(0.5))
    with pytest.raises(InputError, match="one noise level"):
        lesson.over(Geometric(0.1, 1.0))
    assert isinstance(Conditional(unet(2), known=1).lesson().objective, GivenChannels)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scaled(Network(unet()), 2.0),
        lambda: Frozen(Network(unet()), 0.1),
        lambda: MultiScale(Network(unet()), [Conditional(unet(4), known=1)]),
    ],
)
def test_what_is_not_trained_as_it_is_says_so(make):
    prior = make()
    with pytest.raises(InputError, match=type(prior).__name__):
        train(prior, images(), budget=Steps(1))


def test_the_keywords_of_version_0_1_change_the_lesson():
    """``objective`` and ``batches`` train the same bits as the lesson with the same changes."""
    objective, pictures, options = NoiseConditional(Geometric(0.1, 0.5)), images(), {"budget": Steps(3), "seed": 1}
    made = []
    for old in (True, False):
        torch.manual_seed(0)
        prior = Network(unet(), crop=16)
        cut = Windows(16, augment=())
        lesson = replace(prior.lesson(), objective=objective, cut=cut)
        batches = cut.batches(pictures, 16)
        old_form = {"objective": objective, "batches": batches}
        done = train(prior, pictures, **old_form, **options) if old else train(lesson, pictures, **options)
        assert done is prior
        made.append(weights(done))
    assert torch.equal(*made)
    torch.manual_seed(0)
    assert not torch.equal(weights(train(Network(unet(), crop=16), pictures, **options)), made[0])


class Counted(Sequence[Tensor]):
    """Images that count how often each is read."""

    def __init__(self, pictures: list[Tensor]):
        self.pictures, self.reads = pictures, [0] * len(pictures)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        self.reads[index] += 1
        return self.pictures[index].clone()


@pytest.mark.parametrize("budget", [Steps(3), Epochs(0.5)])
@pytest.mark.parametrize("count", [6, 40])
@pytest.mark.parametrize("make", [LEARNERS["network"], LEARNERS["experts"], LEARNERS["tiling"]])
def test_an_image_that_fits_in_memory_is_read_once(make, count, budget):
    pictures = Counted(images(count))
    train(make(), pictures, budget=budget, settings=Settings(batch=4))
    assert pictures.reads == [1] * count


def test_a_shelf_that_is_too_small_holds_nothing():
    pictures = Counted(images(6))
    size = pictures.pictures[0].numel() * 4
    small = Shelf(pictures, 5 * size)
    for _ in range(3):
        assert torch.equal(small[2], pictures.pictures[2])
    assert pictures.reads == [0, 0, 3, 0, 0, 0]
    roomy = Shelf(Counted(images(6)), 6 * size)
    assert roomy[2] is roomy[2]
    assert len(list(roomy)) == 6
    assert roomy.name(3) == "Image 3"
