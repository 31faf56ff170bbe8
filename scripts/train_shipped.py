"""Train the priors that ship inside the package.

    python scripts/train_shipped.py brain-t1 --data DATA --out FOLDER --from src/scorefield/shipped/brain --steps 3000

Each recipe names its images, its network and its card; DATA is a folder laid out like the project's shared data (see
``shipped_images.py``).  ``--from`` starts with the weights of another prior.  A training that was stopped continues
with the same command.  The card records the command, the time, the number of steps and the validation curve;
``--ship`` puts the finished prior into the package.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

import shipped_images as images
from scorefield import shipped
from scorefield.nets import PatchMLP, UNet
from scorefield.prior import Prior
from scorefield.priors import FieldOfExperts, Homogeneous, Network
from scorefield.runs.progress import Bar
from scorefield.schedules import Geometric
from scorefield.store import checkpoint
from scorefield.training.trainer import Budget, Minutes, Record, Settings, Steps, Validation, train

Source = Callable[[Path], Iterator[np.ndarray]]


def grown(prior: Prior, earlier: Prior) -> None:
    """Give a U-Net the weights of one that may be shallower."""
    prior.net.continue_from(earlier.net)  # pyright: ignore[reportAttributeAccessIssue]


def same(prior: Prior, earlier: Prior) -> None:
    """Give a prior the weights of one of the same make."""
    prior.load_state_dict(earlier.state_dict())


@dataclass(frozen=True)
class Recipe:
    """How one prior is made.

    Args:
        source: training images.
        held_out: images that the validation curve is taken on.
        make: the untrained prior.
        card: what a user should know.
        settings: of the optimizer.
        start: gives the untrained prior the weights of an earlier one.
    """

    source: Source
    held_out: Source
    make: Callable[[], Prior]
    card: checkpoint.Card
    settings: Settings
    start: Callable[[Prior, Prior], None] = grown

    def patches(self) -> Recipe:
        """The same images for a field of experts on 3 x 3 patches."""
        card = replace(
            self.card,
            name=f"{self.card.name}-patch",
            summary=f"3 x 3 patches of: {self.card.summary}",
            limits=f"Sees 3 x 3 pixels at a time. {self.card.limits}",
        )
        settings = Settings(batch=2048, rate=5e-3)
        return replace(self, make=experts, card=card, settings=settings, start=same)


def experts() -> Prior:
    """A field of experts on 3 x 3 patches, of 0.24 M weights."""
    return FieldOfExperts(PatchMLP(size=3, levels=1))


def unet() -> Prior:
    """A scale-equivariant U-Net of 0.61 M weights."""
    return Network(UNet(), Homogeneous(), crop=64)


def deep_unet() -> Prior:
    """A scale-equivariant U-Net of 1.98 M weights, a level deeper: it sees further, for a third more time."""
    return Network(UNet(widths=(56, 96, 160)), Homogeneous(), crop=96)


FINE = Settings(rate=5e-4)  # of a network that has learned other images before

PHOTO = Recipe(
    images.photo,
    images.photo_validation,
    deep_unet,
    checkpoint.Card(
        "photo",
        "Generic images: edges and textures of 23 photographs.",
        unit="white of the photograph",
        provenance=[
            "scikit-image test images, CC0 / public domain (scikit-image, BSD-3 repository)",
            "Kodak PhotoCD PCD0992, every second of the first 16, released by Eastman Kodak for unrestricted usage",
        ],
        limits="No anatomy: it knows what images look like, not what organs do.",
    ),
    replace(FINE, batch=8),  # of crops of 96 pixels
)
BRAIN = Recipe(
    images.brain,
    images.brain_validation,
    unet,
    checkpoint.Card(
        "brain",
        "Head MR: one T1-weighted adult at three resolutions, with recolored tissue contrasts.",
        provenance=["studyforrest T1-weighted head, one adult, ODC PDDL 1.0 (Hanke et al. 2014)"],
        limits="One healthy adult, magnitude images, 0.7 to 2 mm; lesions and other organs are outside.",
    ),
    Settings(),
)
BRAIN_T1 = Recipe(
    images.brain_t1,
    images.brain_validation,
    deep_unet,
    checkpoint.Card(
        "brain-t1",
        "T1-weighted brain: the head of one adult, two templates, an axial slice of three people.",
        provenance=[
            "studyforrest T1-weighted head, one adult, ODC PDDL 1.0 (Hanke et al. 2014)",
            "MNI ICBM152 2009 and Colin27 templates, McConnell Brain Imaging Centre, free for any purpose, with notice",
            "ANTsPy example slices r16, r27 and r30 (Tustison et al. 2021), Apache-2.0 repository",
        ],
        limits="Six healthy T1 anatomies, magnitudes, 0.7 to 2 mm; other contrasts, lesions and organs are outside.",
    ),
    replace(FINE, batch=8),  # of crops of 96 pixels
)
BODY = Recipe(
    images.body,
    images.body_validation,
    unet,
    checkpoint.Card(
        "body",
        "CT of torso and head in units of water attenuation.",
        unit="attenuation of water (1 + HU/1000)",
        provenance=[
            "TotalSegmentator reference CT (Wasserthal et al. 2023), Apache-2.0 repository, data set CC BY 4.0",
            "GE head CT (17 slices), BSD-2",
        ],
        limits="Two or three subjects, standard soft-tissue kernels, 0.5 to 3 mm; metal is outside.",
    ),
    FINE,
)
RECIPES = {
    recipe.card.name: recipe
    for recipe in (PHOTO, BRAIN, BRAIN_T1, BODY, PHOTO.patches(), BRAIN_T1.patches(), BODY.patches())
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="reproducible budget; default: --minutes")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--sigma-max", type=float, default=1.5, help="largest training noise")
    parser.add_argument("--ship", action="store_true", help="write the finished prior into the package too")
    parser.add_argument("--from", dest="start", type=Path, help="start from the weights of this prior folder")
    args = parser.parse_args()

    recipe = RECIPES[args.recipe]
    torch.manual_seed(0)
    torch.set_flush_denormal(True)  # of saturated units; they made steps of the CT patches ten times slower
    prior = recipe.make()
    before: dict[str, object] = {}
    if args.start:
        earlier = checkpoint.load(args.start)
        recipe.start(prior, earlier)
        before = {"prior": earlier.card.name, **earlier.card.training}  # pyright: ignore[reportOptionalMemberAccess]
    noise = Geometric(0.005, args.sigma_max)
    lesson = prior.lesson().over(noise)
    side = max(lesson.cut.side, images.SMALLEST)
    pictures = images.usable(recipe.source(args.data), side)
    validation = Validation(images.usable(recipe.held_out(args.data), side), every=200)
    budget: Budget = Steps(args.steps) if args.steps else Minutes(args.minutes)
    length = f"--steps {args.steps}" if args.steps else f"--minutes {args.minutes:g}"
    training: dict[str, object] = {
        "images": len(pictures),
        "threads": torch.get_num_threads(),
        "settings": asdict(recipe.settings),
        "noise": asdict(noise),
        "seed": 0,
        "before": before,
        "command": f"python scripts/train_shipped.py {args.recipe} {length}" + (" --from BEFORE" if before else ""),
    }
    start = time.time()
    train(
        lesson,
        pictures,
        budget=budget,
        settings=recipe.settings,
        validation=validation,
        record=Record(args.out, resume=True, card=replace(recipe.card, training=training)),
        progress=Bar(),
    )
    print(f"{prior.trained_steps} steps, {time.time() - start:.0f} s")
    if args.ship:  # without the snapshot of the training
        checkpoint.save(prior, shipped.FOLDER / args.recipe, card=checkpoint.load(args.out).card)


if __name__ == "__main__":
    main()
