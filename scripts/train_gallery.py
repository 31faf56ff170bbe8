"""Train the priors of the gallery's pages on patch models.

    python scripts/train_gallery.py disks --out src/scorefield/shipped/phantoms/disks

and likewise ``told``, ``rectangles``, ``scaled`` and ``whole``: each a few minutes on one core.  The first page trains
the first of them again, for a shorter time, so that a reader sees all of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from scorefield.data.phantoms import Disks, Phantom, Rectangles
from scorefield.lessons import Windows
from scorefield.lessons.crops import Balance
from scorefield.nets import OffsetInvariant, PatchMLP, ScaleInvariant, UNet
from scorefield.prior import Prior
from scorefield.priors import FieldOfExperts, Homogeneous, Network
from scorefield.runs.progress import Bar
from scorefield.schedules import Geometric
from scorefield.store import checkpoint
from scorefield.training.trainer import Settings, Steps, train

IMAGES = 1000
EDGES = Balance(share=0.5, threshold=0.01)  # nine of ten patches are flat
NOISE = Geometric(0.02, 0.3)


@dataclass(frozen=True)
class Recipe:
    """What is trained, on which phantoms, and for how long."""

    build: Callable[[], Prior]
    phantoms: Phantom
    steps: int
    batch: int
    rate: float
    balance: Balance | None = EDGES
    noise: Geometric = NOISE


def patches() -> FieldOfExperts:
    """The tutorial's network on 3 x 3 patches."""
    return FieldOfExperts(PatchMLP(size=3))


def told() -> FieldOfExperts:
    """The same, told the noise level."""
    return FieldOfExperts(PatchMLP(size=3, levels=1))


def scaled() -> FieldOfExperts:
    """The same, with amplitude and offset taken out of each patch; it has to be told the noise."""
    return FieldOfExperts(OffsetInvariant(ScaleInvariant(PatchMLP(size=3, levels=1))))


def whole() -> Network:
    """A small network of whole images."""
    return Network(UNet(widths=(24, 40, 64), blocks=1), Homogeneous(), crop=64)


RECIPES = {
    "disks": Recipe(patches, Disks(), 12_000, 512, 2e-3),
    "told": Recipe(told, Disks(), 12_000, 512, 2e-3),
    "rectangles": Recipe(patches, Rectangles(), 12_000, 512, 2e-3),
    "scaled": Recipe(scaled, Disks(), 12_000, 512, 2e-3),
    "whole": Recipe(whole, Disks(), 9000, 8, 2e-3, None, Geometric(0.01, 1.0)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    prior = recipe.build()
    images = list(recipe.phantoms.draw(IMAGES, torch.Generator().manual_seed(1)))
    settings = Settings(batch=recipe.batch, rate=recipe.rate)
    lesson = prior.lesson().over(recipe.noise)
    cut = Windows(lesson.cut.side, balance=recipe.balance)
    start = time.process_time()
    train(
        replace(lesson, cut=cut),
        images,
        budget=Steps(recipe.steps),
        settings=settings,
        progress=Bar(),
    )
    card = checkpoint.Card(
        args.recipe,
        f"A toy: {IMAGES} images of {recipe.phantoms}.",
        unit="gray level of the shape, on a ground of 0",
        provenance=["drawn by scorefield.data.phantoms"],
        training={
            "steps": recipe.steps,
            "cpu_seconds": round(time.process_time() - start),
            "settings": asdict(settings),
            "noise": asdict(recipe.noise),
            "seed": 0,
            "command": f"python scripts/train_gallery.py {args.recipe}",
        },
        limits="For the gallery only.",
    )
    checkpoint.save(prior, args.out, card=card)


if __name__ == "__main__":
    main()
