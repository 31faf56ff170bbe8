"""Fit the Gaussian mixture of patches that ships for EPLL: 200 components on 8 x 8 pixels, as published.

    python scripts/fit_mixture.py photo-mixture --data DATA --out FOLDER --ship

Expectation maximization on patches of photographs, each less its mean; the prior around it is a field of experts
whose weights are then set on whole images.  DATA is a folder laid out like the project's shared data (see
``shipped_images.py``).  The card records the command, the time and the log-likelihood; ``--ship`` puts the prior into
the package.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import shipped_images as images
from scorefield import shipped
from scorefield.nets import OffsetInvariant, PatchMixture
from scorefield.priors import FieldOfExperts
from scorefield.store import checkpoint
from train_shipped import PHOTO, Recipe, same

SIDE = 8  # pixels, as published
WEIGHED = 12  # images on which the weights of the overlaps are set


def mixture() -> FieldOfExperts:
    """A field of experts on the patches of EPLL: the most probable component of 200 filters each patch."""
    return FieldOfExperts(OffsetInvariant(PatchMixture(size=SIDE, hard=True)))


RECIPES: dict[str, Recipe] = {
    "photo-mixture": replace(
        PHOTO,
        source=images.photo_mixture,
        make=mixture,
        card=replace(
            PHOTO.card,
            name="photo-mixture",
            summary="For EPLL: 200 Gaussians on 8 x 8 patches of 21 photographs.",
            limits="Sees 8 x 8 pixels at a time. No anatomy: it knows what edges and textures look like.",
        ),
        start=same,
    )
}


def patches(pictures: list[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """``count`` patches less their means, as many of each image, from random places: (m, 1, 8, 8)."""
    parts = []
    for x in pictures:
        cut = x.unfold(1, SIDE, 1).unfold(2, SIDE, 1)[0]
        rows, columns = (torch.randint(n, (count // len(pictures),), generator=generator) for n in cut.shape[:2])
        parts.append(cut[rows, columns])
    chosen = torch.cat(parts)[:, None]
    return chosen - chosen.mean((2, 3), keepdim=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patches", type=int, default=120_000)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--ship", action="store_true", help="write the finished prior into the package too")
    args = parser.parse_args()

    torch.set_flush_denormal(True)  # of improbable components; they make a step several times slower
    recipe, start = RECIPES[args.recipe], time.time()
    pictures, generator = images.usable(recipe.source(args.data)), torch.Generator().manual_seed(0)
    prior = recipe.make()
    net: PatchMixture = prior.net.net  # pyright: ignore[reportAttributeAccessIssue, reportAssignmentType]
    history = net.fit(patches(pictures, args.patches, generator), generator, iterations=args.iterations)
    seconds = time.time() - start
    print(f"log-likelihood of a patch {history[0]:.2f} -> {history[-1]:.2f} nats, {seconds:.0f} s", flush=True)
    prior.finish(pictures[:: max(1, len(pictures) // WEIGHED)], generator)  # pyright: ignore[reportCallIssue]
    training: dict[str, object] = {
        "images": len(pictures),
        "threads": torch.get_num_threads(),
        "settings": {"patches": args.patches},
        "noise": {},
        "seed": 0,
        "command": f"python scripts/fit_mixture.py {args.recipe} --patches {args.patches}"
        f" --iterations {args.iterations}",
        "steps": args.iterations,
        "seconds": time.time() - start,
        "log_likelihood": [round(value, 3) for value in history],
    }
    card = replace(recipe.card, training=training)
    checkpoint.save(prior, args.out, card=card)
    if args.ship:
        checkpoint.save(prior, shipped.FOLDER / args.recipe, card=card)


if __name__ == "__main__":
    main()
