"""Train the priors that ship inside the package.

    python scripts/train_shipped.py body --data DATA --out stage --sigma-max 2 --steps N
    python scripts/train_shipped.py body --data DATA --out src/scorefield/shipped/body --resume stage --steps M

and likewise ``brain``; ``photo`` took one stage.  The cards record N, M and the time on one busy CPU core.
DATA is a folder laid out like the project's shared data (see each recipe).  The cards record how long each one took.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import scorefield.checkpoint as checkpoint
from scorefield.nets import UNet
from scorefield.objectives import NoiseConditional
from scorefield.priors import Homogeneous, Network
from scorefield.progress import Bar
from scorefield.schedule import Geometric
from scorefield.train import Budget, Minutes, Settings, Steps, train

CROP = 64


def shrink(volume: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Block means; what does not fill a block is cut off."""
    for axis, factor in enumerate(factors):
        keep = volume.shape[axis] // factor * factor
        volume = np.moveaxis(volume, axis, 0)[:keep]
        volume = np.moveaxis(volume.reshape(-1, factor, *volume.shape[1:]).mean(1), 0, axis)
    return volume


def usable(images: Iterator[np.ndarray]) -> list[Tensor]:
    """Single-channel tensors, large enough and not empty."""
    kept = (
        np.ascontiguousarray(image, np.float32) for image in images if min(image.shape) >= CROP and image.std() > 0.02
    )
    return [torch.from_numpy(image)[None] for image in kept]


def photo(data: Path) -> list[Tensor]:
    """CC0 photographs of scikit-image as gray values in [0, 1], at 1/2 to 1/4 of their resolution (sharper pixels)."""
    from skimage.color import rgb2gray
    from skimage.io import imread

    def images() -> Iterator[np.ndarray]:
        for path in sorted((data / "natural-skimage").iterdir()):
            if path.suffix not in {".png", ".jpg"} or path.stem == "clock_motion":
                continue
            pixels = imread(path)
            gray = rgb2gray(pixels[..., :3]) if pixels.ndim == 3 else pixels / np.iinfo(pixels.dtype).max
            for factor in (1, 2, 3, 4):
                yield shrink(gray, (factor, factor))

    return usable(images())


def recolor(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another tissue contrast: a random piecewise-linear curve of the intensity that keeps 0 (air) at 0."""
    knots = np.array([0, 0.15, 0.35, 0.55, 0.75, 1.0, 1.5])
    return np.interp(image, knots, np.concatenate([[0], rng.uniform(0.1, 1.0, 6)]))


def brain(data: Path) -> list[Tensor]:
    """One public-domain T1 volume at 0.7, 1.3 and 2 mm, three orientations, half of the slices recolored."""
    import nibabel

    path = data / "brain-t1-studyforrest" / "sub02_T1w_brain_slices140-375.nii.gz"
    volume = np.asarray(nibabel.load(path).dataobj, np.float32)
    volume /= np.percentile(volume[volume > 0.1 * volume.max()], 99)
    rng = np.random.default_rng(0)

    def images() -> Iterator[np.ndarray]:
        for factor, every in ((1, 6), (2, 1), (3, 1)):
            small = shrink(volume, (factor,) * 3)
            for axis in range(3):
                for image in np.moveaxis(small, axis, 0)[::every]:
                    yield image
                    yield recolor(image, rng)

    return usable(images())


def body(data: Path) -> list[Tensor]:
    """Head, thorax and abdomen CT as 1 + HU/1000 (air 0, water 1), at 0.5 to 3 mm."""
    import nibabel
    import pydicom

    def unit(hounsfield: np.ndarray) -> np.ndarray:
        return np.clip(1 + hounsfield.astype(np.float32) / 1000, 0, 3)

    def images() -> Iterator[np.ndarray]:
        for path in sorted((data / "ct-torso-totalseg").glob("*ct*.nii.gz")):
            volume = unit(np.asarray(nibabel.load(path).dataobj))
            for axis in range(3):
                yield from np.moveaxis(volume, axis, 0)
        for path in sorted((data / "ct-torso-totalseg" / "example_ct_dicom").glob("*.dcm")):
            scan = pydicom.dcmread(path)
            image = unit(scan.pixel_array * float(scan.RescaleSlope) + float(scan.RescaleIntercept))
            yield from (shrink(image, (factor, factor)) for factor in (1, 2, 3))
        head = unit(np.load(data / "ct-head-ge" / "ge_head_hu.npz")["hu"])
        for image in head:
            yield from (shrink(image, (factor, factor)) for factor in (2, 4))

    return usable(images())


RECIPES: dict[str, tuple[Callable[[Path], list[Tensor]], checkpoint.Card]] = {
    "photo": (
        photo,
        checkpoint.Card(
            "photo",
            "Generic images: edges and textures of 15 photographs.",
            unit="white of the photograph",
            provenance=["scikit-image test images, CC0 / public domain (scikit-image, BSD-3 repository)"],
            limits="No anatomy: it knows what images look like, not what organs do.",
        ),
    ),
    "brain": (
        brain,
        checkpoint.Card(
            "brain",
            "Head MR: one T1-weighted adult at three resolutions, with recolored tissue contrasts.",
            provenance=["studyforrest T1-weighted head, one adult, ODC PDDL 1.0 (Hanke et al. 2014)"],
            limits="One healthy adult, magnitude images, 0.7 to 2 mm; lesions and other organs are outside.",
        ),
    ),
    "body": (
        body,
        checkpoint.Card(
            "body",
            "CT of thorax, abdomen and head in units of water attenuation.",
            unit="attenuation of water (1 + HU/1000)",
            provenance=[
                "TotalSegmentator reference CT (Wasserthal et al. 2023), Apache-2.0 repository, data set CC BY 4.0",
                "GE head CT (20 slices), BSD-2",
            ],
            limits="Three subjects, standard soft-tissue kernels, 0.5 to 3 mm; metal is outside.",
        ),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="reproducible budget; default: --minutes")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--sigma-max", type=float, default=1.5, help="largest training noise")
    parser.add_argument("--resume", type=Path, help="start from the weights of this prior folder")
    args = parser.parse_args()

    recipe, card = RECIPES[args.recipe]
    images = recipe(args.data)
    budget: Budget = Steps(args.steps) if args.steps else Minutes(args.minutes)
    torch.manual_seed(0)
    prior = Network(UNet(), Homogeneous(), crop=CROP)
    earlier: dict[str, object] = {}
    if args.resume:
        start_from = checkpoint.load(args.resume)
        prior.load_state_dict(start_from.state_dict())
        earlier = start_from.card.training  # pyright: ignore[reportAttributeAccessIssue]
    noise = Geometric(0.005, args.sigma_max)
    settings = Settings(batch=args.batch, rate=args.rate, half=True)
    start = time.time()
    train(
        prior,
        images,
        objective=NoiseConditional(noise, prior.weight),
        budget=budget,
        settings=settings,
        progress=Bar(),
    )
    training = {
        "images": len(images),
        "steps": prior.trained_steps,
        "seconds": round(time.time() - start),
        "threads": torch.get_num_threads(),
        "settings": asdict(settings),
        "noise": asdict(noise),
        "seed": 0,
        "before": earlier,
        "command": f"python scripts/train_shipped.py {args.recipe} --steps {prior.trained_steps} --batch {args.batch}"
        f" --sigma-max {args.sigma_max:g} --rate {args.rate:g}" + (" --resume STAGE" if args.resume else ""),
    }
    checkpoint.save(prior, args.out, card=checkpoint.Card(**{**asdict(card), "training": training}))


if __name__ == "__main__":
    main()
