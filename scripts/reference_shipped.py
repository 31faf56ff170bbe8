"""Give the priors that ship inside the package what ``scorefield.trust`` compares with; their weights stay.

    python scripts/reference_shipped.py [NAME ...] --data DATA [--folder FOLDER]

The images are those of ``train_shipped.py``: the reference is that of images the prior knows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import shipped_images
from scorefield import shipped
from scorefield.store import checkpoint
from scorefield.trust import take_reference
from scorefield.trust.reference import NAME
from train_shipped import RECIPES

IMAGES = 400  # p-values down to 2 / 401


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=shipped.names(), help="of recipes; default: all that ship")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, help="of the prior, if not among the shipped ones; for one name")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.names:
        folder = args.folder or shipped.find(name)
        images = shipped_images.usable(RECIPES[name].source(args.data))
        reference = take_reference(checkpoint.load(folder), images, n=IMAGES)
        if reference is None:
            raise SystemExit(f"The images of {name} are too few, too small or too flat for a reference.")
        checkpoint.BESIDE.write(folder / f"{NAME}.safetensors", reference.tensors())
        labels = [*(f"gain over {rival}" for rival in reference.rivals), "surprise"]
        for label, values in zip(labels, reference.values.T, strict=True):
            low, middle, high = values.quantile(torch.tensor([0.02, 0.5, 0.98]).double()).tolist()
            print(f"{name}: {label} of {len(values)} images, 2 %, 50 %, 98 %: {low:+.3f} {middle:+.3f} {high:+.3f}")


if __name__ == "__main__":
    main()
