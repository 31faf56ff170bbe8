"""Give the priors that ship inside the package what ``scorefield.trust`` compares with; their weights stay.

    python scripts/reference_shipped.py [body brain photo] --data DATA

The images are those of ``train_shipped.py``: none were held out, so the reference is that of images the prior knows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scorefield import checkpoint, shipped
from scorefield.atomic import atomic_path
from scorefield.trust import take_reference
from train_shipped import RECIPES

IMAGES = 250  # p-values down to 1 / 251


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=shipped.names())
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    for name in args.names:
        prior = checkpoint.load(shipped.find(name))
        reference = take_reference(prior, RECIPES[name][0](args.data), n=IMAGES)
        if reference is None:
            raise SystemExit(f"The images of {name} are too small or too flat for a reference.")
        with atomic_path(shipped.find(name) / checkpoint.REFERENCE) as path:
            checkpoint.write_tensors(reference.tensors(), path)
        mean = ", ".join(f"{value:+.3f}" for value in reference.values.mean(0).tolist())
        print(f"{name}: {len(reference.values)} images, mean log ratio {mean}")


if __name__ == "__main__":
    main()
