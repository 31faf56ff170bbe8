"""The priors: about 16 thousand multiply-adds a pixel each, trained with the same number of multiply-adds.

A patch network of side p, at stride p/2, has the widths that give it as much work a pixel as the others: larger
patches have wider networks.  So no prior is larger, slower or longer trained than another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from scorefield.lessons import Batches, PreparedBatches
from scorefield.lessons.tiles import Tiles
from scorefield.nets import Equivariant, LocalCNN, OffsetInvariant, PatchMLP, ScaleInvariant, UNet
from scorefield.prior import Prior
from scorefield.priors import EDM, Conditional, FieldOfExperts, Homogeneous, MultiScale, Network, Tiling
from scorefield.priors.multiscale import pyramid
from scorefield.randomness import stream
from scorefield.store.atomic import atomic_folder
from scorefield.store.checkpoint import WEIGHTS, Card
from scorefield.training.trainer import Settings, train

from .budget import steps_for
from .images import SIDE, training
from .nets import BlindCNN, LevelCNN

WIDTHS = {3: 84, 5: 166, 9: 319, 17: 585, 33: 985}  # 16e3 stride^2 multiply-adds a patch, three hidden layers
RATES = {3: 3e-3, 5: 1e-2, 9: 1e-2, 17: 1e-2, 33: 3e-3}
# two or three rates were tried on the tuning slice for 9 x 9, the U-Net and LevelCNN; the others have theirs
BATCHES = {3: 4096, 5: 2048, 9: 512, 17: 128, 33: 32}  # patches a step; larger ones fill a batch sooner
Wrap = Callable[[nn.Module], nn.Module]
LEVELS = {"levels": 8, "sigma_min": 0.005, "sigma_max": 2.0}


@dataclass(frozen=True)
class Lesson:
    """One network's share of a training: a prior made of several is taught in as many lessons.

    Args:
        pupil: what learns; trained in place.
        images: what it learns from.
        settings: of the optimizer.
        share: of the work.
        batches: where they are not crops.
        probes: batches whose cost is averaged.
    """

    pupil: Prior
    images: Sequence[Tensor]
    settings: Settings
    share: float = 1.0
    batches: Batches | None = None
    probes: int = 1


@dataclass(frozen=True)
class Recipe:
    """An untrained prior, and how it is taught.

    Args:
        make: builds the prior.
        lessons: from the prior and its images.
        label: one line for the page.
        tilings: evaluations that are averaged for one denoised image, of a prior with a coin.
    """

    make: Callable[[], Prior]
    lessons: Callable[[Prior, Sequence[Tensor]], list[Lesson]]
    label: str
    tilings: int = 1


def taught(recipe: Recipe, images: Sequence[Tensor], work: float, seed: int = 0) -> Prior:
    """The prior of a recipe after ``work`` multiply-adds of training."""
    torch.manual_seed(stream(seed, "weights"))
    prior, steps = recipe.make(), 0
    for k, lesson in enumerate(recipe.lessons(prior, images)):
        own = lesson.pupil.lesson()
        batches = lesson.batches or own.cut.batches(tuple(lesson.images), lesson.settings.batch)
        budget = steps_for(own, batches, work * lesson.share, lesson.probes)
        own = replace(own, cut=PreparedBatches(batches, own.cut))
        train(own, lesson.images, budget=budget, settings=lesson.settings, seed=stream(seed, k))
        steps += budget.count
    amplitude = sum(float(torch.quantile(image[:, :SIDE, :SIDE].flatten(), 0.99)) for image in images) / len(images)
    card = Card("study", f"Trained on {len(images)} slice(s).", amplitude=amplitude, training={"steps": steps})
    prior.card = lesson_card(prior, card)
    return prior.eval().requires_grad_(False)


def lesson_card(prior: Prior, card: Card) -> Card:
    """The card that ``train`` wrote, if it wrote one, with the number of steps; else ``card``."""
    if prior.card is None:
        return card
    return Card(card.name, card.summary, amplitude=prior.card.amplitude, training=card.training)


def experts(
    size: int, wrap: Callable[[nn.Module], nn.Module] = lambda net: net, label: str = "", cost: int = 1
) -> Recipe:
    """A field of experts on patches of one side; ``cost`` times the work a patch, in smaller batches."""

    def make() -> Prior:
        net = PatchMLP(size=size, levels=1, widths=(WIDTHS[size],) * 3)
        return FieldOfExperts(wrap(net), stride=max(1, size // 2), **LEVELS)  # pyright: ignore[reportArgumentType]

    settings = Settings(batch=BATCHES[size] // cost, rate=RATES[size])
    return Recipe(make, lambda prior, images: [Lesson(prior, images, settings)], f"{size} x {size} patches{label}")


def whole(make: Callable[[], Prior], batch: int, rate: float, label: str) -> Recipe:
    """A network of whole images."""
    settings = Settings(batch=batch, rate=rate)
    return Recipe(make, lambda prior, images: [Lesson(prior, images, settings)], label)


SCALES = 2


def _scales() -> Prior:
    details = [Conditional(LevelCNN(channels=4, width=40), Homogeneous(), known=1, crop=24 // (k + 1))
               for k in range(SCALES)]  # fmt: skip
    return MultiScale(Network(UNet(widths=(24, 32)), Homogeneous(), crop=24), details)


def _scale_lessons(prior: Prior, images: Sequence[Tensor]) -> list[Lesson]:
    assert isinstance(prior, MultiScale)
    even = [image[:, : image.shape[1] // 4 * 4, : image.shape[2] // 4 * 4] for image in images]
    parts = list(zip(*(pyramid(image, SCALES) for image in even), strict=True))
    return [
        Lesson(prior.details[0], parts[0], Settings(batch=16, rate=1e-2), 0.55),
        Lesson(prior.details[1], parts[1], Settings(batch=32, rate=1e-2), 0.25),
        Lesson(prior.coarse, parts[2], Settings(batch=16, rate=3e-3), 0.2),
    ]


TILE, PAD = 32, 16


def _tiling() -> Prior:
    return Tiling(Conditional(UNet(channels=3, widths=(24, 32, 64)), EDM(0.3), crop=TILE), size=TILE, pad=PAD)


def _tile_lessons(prior: Prior, images: Sequence[Tensor]) -> list[Lesson]:
    tiles = Tiles(images, 16, pad=PAD, sizes=((8, 0.2, 4), (16, 0.3, 2), (32, 0.5, 1)))
    return [Lesson(prior.lesson().trainee, images, Settings(batch=16, rate=3e-3), batches=tiles, probes=20)]


def _unet(bias: bool) -> Callable[[], Prior]:
    rule = EDM(0.3) if bias else Homogeneous()
    return lambda: Network(UNet(widths=(24, 32, 64), bias=bias), rule, crop=48)


RECIPES = {
    "p3": experts(3),
    "p5": experts(5),
    "p9": experts(9),
    "p17": experts(17),
    "p33": experts(33),
    "p3-offset": experts(3, OffsetInvariant, ", offset invariant"),
    "p3-scale": experts(3, ScaleInvariant, ", scale invariant"),
    "p3-turns": experts(3, Equivariant, ", mean over turns and flips (8 times the work)", cost=8),
    "told": whole(lambda: Network(LevelCNN(), Homogeneous(), crop=32), 16, 1e-2, "CNN of 9 x 9 pixels"),
    "untold": whole(lambda: Network(BlindCNN(), Homogeneous(), crop=32), 16, 1e-2,
                    "CNN of 9 x 9 pixels, without the noise level"),
    "local": whole(lambda: Network(LocalCNN(reach=9, width=24, depth=7), Homogeneous(), crop=32), 16, 3e-3,
                   "CNN of 9 x 9 pixels, without the noise level, normalized (`LocalCNN`)"),
    "unet": whole(_unet(False), 4, 3e-3, "U-Net without biases, whole images"),
    "unet-biased": whole(_unet(True), 4, 3e-3, "U-Net with biases, whole images"),
    "multiscale": Recipe(_scales, _scale_lessons, "two scales of Haar details by CNNs of 9 x 9 pixels, U-Net below"),
    "padis": Recipe(_tiling, _tile_lessons, "PaDIS: tilings by 32 x 32 patches that get their place", tilings=9),
}  # fmt: skip


@dataclass(frozen=True)
class Learner:
    """A recipe, the images it is taught from, and the seed: ``unet-1``, ``p3-body-100``, ``p3-100-x4``.

    Args:
        recipe: its name.
        slices: how many training slices.
        kind: of images, "brain" or "body".
        seed: of weights, crops and noise.
        times: how many times the work of the others it is trained with.
    """

    recipe: str
    slices: int = 100
    kind: str = "brain"
    seed: int = 0
    times: int = 1

    @property
    def name(self) -> str:
        where = "" if self.kind == "brain" else f"-{self.kind}"
        longer = f"-x{self.times}" if self.times > 1 else ""
        return f"{self.recipe}{where}-{self.slices}" + "-again" * self.seed + longer

    def prior(self, data: Path, folder: Path, work: float) -> Prior:
        """The trained prior, from its folder if it was trained before."""
        place, recipe = folder / self.name, RECIPES[self.recipe]
        if not place.exists():
            prior = taught(recipe, training(data, self.kind, self.slices), work * self.times, self.seed)
            with atomic_folder(place) as draft:
                (draft / "prior.json").write_text(json.dumps({"card": asdict(prior.card)}))
                WEIGHTS.write(draft / "weights.safetensors", prior.state_dict())
        return _read(recipe.make(), place)


def _read(prior: Prior, place: Path) -> Prior:
    """``prior`` with the weights and the card of ``place``; the study has networks of its own."""
    prior.load_state_dict(WEIGHTS.read(place / "weights.safetensors")[0])
    prior.card = Card(**json.loads((place / "prior.json").read_text())["card"])
    return prior.eval().requires_grad_(False)
