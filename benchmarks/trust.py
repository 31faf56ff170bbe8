"""What the checks of a single scan say of right and of wrong models, on real images of twenty kinds.

    python benchmarks/trust.py --data DATA [--images] [--draws 2] [--steps 24] [--priors NAME=FOLDER ...]
        [--only NAME ...] [--json PATH]

With ``--images`` the likeness check looks at true images, several of a kind: how many it speaks of.  Without, each row
is one reconstruction of a simulated scan: "z" and "misfit" are of the residual check, "p", "gain" and "surprise" of the
likeness check on the draws, "true p" is what it says of the true image.  A star marks a check that speaks.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield import shipped
from scorefield.data import Image
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.prior import Prior
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.scans.protocols import CartesianMRI, ParallelCT, Protocol, simulate
from scorefield.scans.scan import Scan
from scorefield.store import checkpoint
from scorefield.trust import assess, likeness_check, reference_of
from scorefield.units import WATER, intensity_of

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from shipped_images import (  # pyright: ignore[reportMissingImports]
    TRAINED_BRAINS,
    attenuation,
    axial,
    gray,
    head,
    kodak,
    shrink,
    volume,
)

MRI, CT = CartesianMRI(), ParallelCT(views=40, photons=2e4)
Change = Callable[[Scan], Scan]


def noise(factor: float) -> Change:
    """The scan states ``factor`` times its noise."""
    return lambda scan: replace(scan, noise=White(factor * scan.noise.std))


def shifted(pixels: float) -> Change:
    """The scan states a rotation center off by ``pixels`` along the columns."""

    def change(scan: Scan) -> Scan:
        height, width = scan.spatial
        return replace(scan, center=((height - 1) / 2, (width - 1) / 2 + pixels))

    return change


def rolled(bins: int) -> Change:
    """The data lie ``bins`` beside where the scan says: unlike a shifted center, no shift of the image explains it."""
    return lambda scan: replace(scan, data=scan.data.roll(bins, -1))


def array(name: str, change: Callable[[Tensor], Tensor]) -> Change:
    """The scan states a changed field: coil maps, angles."""
    return lambda scan: replace(scan, **{name: change(getattr(scan, name))})


@dataclass(frozen=True)
class Case:
    """One scan: the image by name, the prior, the protocol, and what the scan states wrongly."""

    name: str
    image: str
    prior: str
    protocol: Protocol
    change: Change = lambda scan: scan


CASES = (
    Case("right: T1 brain, trained subject", "trained head", "brain-t1", MRI),
    Case("right: T1 brain, another subject", "other brains", "brain-t1", MRI),
    Case("right: T1 coronal, another subject", "other coronal", "brain-t1", MRI),
    Case("right: CT abdomen, trained subject", "trained torso", "body", CT),
    Case("right: CT thorax, another subject", "other thorax", "body", CT),
    Case("anatomy: heart with brain prior", "heart", "brain-t1", MRI),
    Case("anatomy: spine T2* with brain prior", "spine T2*", "brain-t1", MRI),
    Case("anatomy: abdomen MR with brain prior", "abdomen MR", "brain-t1", MRI),
    Case("anatomy: CT with brain prior", "other thorax", "brain-t1", MRI),
    Case("anatomy: brain MR with body prior", "trained head", "body", CT),
    Case("anatomy: heart with body prior", "heart", "body", CT),
    Case("contrast: T1 brain inverted", "inverted brain", "brain-t1", MRI),
    Case("contrast: EPI brain", "EPI brain", "brain-t1", MRI),
    Case("noise stated 1.5x too low, MRI", "other brains", "brain-t1", MRI, noise(1 / 1.5)),
    Case("noise stated 1.5x too high, MRI", "other brains", "brain-t1", MRI, noise(1.5)),
    Case("noise stated 1.5x too low, CT", "other thorax", "body", CT, noise(1 / 1.5)),
    Case("noise stated 1.5x too high, CT", "other thorax", "body", CT, noise(1.5)),
    Case("operator: CT center off by 1 pixel", "other thorax", "body", CT, shifted(1.0)),
    Case("operator: CT detector off by 1 bin", "other thorax", "body", CT, rolled(1)),
    Case("operator: CT angles 2 % too large", "other thorax", "body", CT, array("angles", lambda a: 1.02 * a)),
    Case(
        "operator: coil maps turned by 1/16",
        "other brains",
        "brain-t1",
        MRI,
        array("coils", lambda c: turned(c, 1 / 16)),
    ),
    Case("operator: coil maps mirrored", "other brains", "brain-t1", MRI, array("coils", lambda c: c.flip(-1))),
)
OWN = {
    "brain-t1": ("trained head", "other brains", "other brains, 2 mm", "other coronal", "whole head, 3 mm"),
    "body": ("trained torso", "other thorax", "other thorax, coronal"),
}


def turned(coils: Tensor, part: float) -> Tensor:
    """Coil maps turned by a part of a circle: between those of neighbors, phase by phase."""
    n, height, width = coils.shape[-3:]
    angle = 2 * math.pi * part
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = torch.nn.functional.affine_grid(turn.expand(n, 2, 3), [n, 2, height, width], align_corners=False)
    pairs = torch.view_as_real(coils.reshape(n, height, width).to(torch.complex64)).permute(0, 3, 1, 2)
    moved = torch.nn.functional.grid_sample(pairs, grid, padding_mode="border", align_corners=False)
    return torch.view_as_complex(moved.permute(0, 2, 3, 1).contiguous()).reshape(coils.shape).to(coils.dtype)


def middle(x: np.ndarray, size: int = 128) -> Tensor:
    """The middle (1, size, size) at most of a slice."""
    starts = [max(0, (side - size) // 2) for side in x.shape]
    cut = x[starts[0] : starts[0] + size, starts[1] : starts[1] + size]
    return torch.from_numpy(np.ascontiguousarray(cut, np.float32))[None]


def magnetic(slices: Iterable[np.ndarray], size: int = 128) -> list[Tensor]:
    """MR slices and pictures over their 99th percentile."""
    cuts = [middle(np.asarray(x, np.float32), size) for x in slices]
    return [cut / intensity_of(cut) for cut in cuts]


def some(stack: np.ndarray, axis: int, n: int = 5) -> list[np.ndarray]:
    """``n`` slices of the middle half of a volume."""
    side = stack.shape[axis]
    return [np.take(stack, int(k), axis) for k in np.linspace(side / 4, 3 * side / 4, n)]


def heads(data: Path) -> dict[str, list[Tensor]]:
    """T1 brains, and other contrasts of brains."""
    small, template = data / "mri-small-nibabel-dipy", shrink(head(data), (2, 2, 2))
    known = magnetic(x for axis in (2, 1, 0) for x in some(template, axis, 2))
    others = axial(data)[TRAINED_BRAINS.stop :]
    anatomy = volume(small / "someones_anatomy.nii.gz")
    inverted = [(x.max() - x) * (x > 0.1) for x in known]
    return {
        "trained head": known,
        "other brains": magnetic(others, 192),
        "other brains, 2 mm": magnetic(shrink(x, (2, 2)) for x in others),
        "other coronal": magnetic([np.load(small / "t1_coronal_slice.npy").squeeze()]),
        "whole head, 3 mm": magnetic(x for axis in range(3) for x in some(anatomy, axis, 2)),
        "inverted brain": [x / intensity_of(x) for x in inverted],
        "EPI brain": magnetic(some(volume(small / "example4d.nii.gz")[..., 0], 2)),
        "diffusion b = 0 brain": magnetic(some(volume(small / "S0_10slices.nii.gz").squeeze(), 2)),
    }


def others(data: Path) -> dict[str, list[Tensor]]:
    """Other anatomies; CT as 1 + HU/1000; and things that are no scans of people."""
    spine, torso = data / "mri-spine-sct", data / "ct-torso-totalseg"
    thorax = attenuation(volume(torso / "aorta_ct_cropped.nii.gz"))
    tooth = np.fromfile(data / "ct-tooth-seg3d" / "tooth.raw", ">u2").reshape(161, 94, 103).astype(np.float32)
    stars = data / "nuclei-dsb2018"
    return {
        "heart": magnetic(some(shrink(volume(data / "mri-heart-seg3d/heart_tfl3d_44x640x640.nii.gz"), (2, 2, 1)), 2)),
        "spine T2*": magnetic(some(volume(spine / "t2s_t2s_uncropped.nii.gz"), 2)),
        "spine T1": magnetic(some(volume(spine / "t1_t1w.nii.gz"), 0)),
        "spine T2": magnetic(some(volume(spine / "t2_t2.nii.gz"), 0)),
        "abdomen MR": magnetic(some(volume(torso / "example_mr_sm.nii.gz"), 2)),
        "trained torso": [middle(x) for x in some(attenuation(volume(torso / "example_ct.nii.gz")), 2)],
        "other thorax": [middle(x) for x in some(thorax, 2)],
        "other thorax, coronal": [middle(x) for x in some(thorax, 1)],
        "tooth": magnetic(some(tooth, 0)),
        "retina OCT": magnetic(gray(path)[::3, ::3] for path in sorted((data / "oct-kermany2").glob("*.jpeg"))),
        "nuclei": magnetic(gray(path) for path in sorted(stars.glob("*_image.png"))[:5]),
        "photographs": magnetic(shrink(gray(path), (4, 4)) for path in kodak(data)[::2][:5]),
    }


def likeness_of_images(prior: Prior, name: str, kinds: dict[str, list[Tensor]]) -> Iterator[dict[str, Any]]:
    """What the likeness check says of true images, a row a kind."""
    for kind, images in kinds.items():
        checks = [likeness_check(image[None], prior, reference_of(prior)) for image in images]
        found = [check for check in checks if check]
        yield {
            "prior": name,
            "kind": kind,
            "own": kind in OWN[name],
            "speaks": sum(not check.passed for check in found),
            "images": len(found),
            "p": median(check.p_value for check in found),
            "gain": median(check.gain for check in found),
            "surprise": median(check.surprise for check in found),
            "rivals": sorted({check.rival for check in found}),
        }


def row(case: Case, prior: Prior, truth: Tensor, draws: int, method: Method) -> dict[str, Any]:
    """One reconstruction and what the checks say of it."""
    truth = truth * WATER if isinstance(case.protocol, ParallelCT) else truth
    scan = case.change(simulate(Image(truth, (2.0, 2.0), source=case.image), case.protocol))
    given: Measurement = scan.measurement()
    samples = reconstruct(prior, given, n=draws, seed=0, method=method)
    trust = assess(samples, given, prior)
    true = likeness_check(truth[None] / intensity_of(truth), prior, reference_of(prior))
    likeness = trust.likeness
    return {
        "case": case.name,
        "z": trust.residual.z,
        "misfit": trust.residual.ratio,
        "misfit_speaks": not trust.residual.passed,
        "p": likeness.p_value if likeness else None,
        "gain": likeness.gain if likeness else None,
        "surprise": likeness.surprise if likeness else None,
        "rival": likeness.rival if likeness else None,
        "kind_speaks": likeness is not None and not likeness.passed,
        "true_p": true.p_value if true else None,
        "error": float((samples.mean - truth).square().mean().sqrt()) / intensity_of(truth),
        "seconds": samples.cost.seconds,
        "sentences": trust.sentences,
    }


def show(found: dict[str, Any]) -> str:
    """One line of the table."""

    def number(key: str, spec: str) -> str:
        return "-" if found[key] is None else format(found[key], spec)

    if "kind" in found:
        return (
            f"{found['prior']:9s} {'own' if found['own'] else '':4s} {found['kind']:24s} {found['speaks']:2d} of"
            f" {found['images']:2d} {found['p']:7.3f} {found['gain']:+7.3f} {found['surprise']:+7.3f} over"
            f" {', '.join(found['rivals'])}"
        )
    return (
        f"{found['case']:38s} {found['z']:+8.1f} {found['misfit']:7.3f} {'*' if found['misfit_speaks'] else ' '}"
        f" {number('p', '6.3f')} {number('gain', '+6.2f')} {number('surprise', '+6.2f')}"
        f" {'*' if found['kind_speaks'] else ' '} {number('true_p', '6.3f')} {found['error']:6.3f}"
        f" {found['seconds']:5.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", action="store_true", help="look at true images, reconstruct nothing")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--priors", nargs="*", default=[], help="NAME=FOLDER of priors that do not ship")
    parser.add_argument("--only", nargs="*", default=[""], help="cases or kinds whose name has one of these")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    given = dict(pair.split("=", 1) for pair in args.priors)
    priors = {name: checkpoint.load(shipped.find(given.get(name, name))) for name in OWN}
    pictures, rows = heads(args.data) | others(args.data), []

    def tell(found: dict[str, Any]) -> None:
        rows.append(found)
        print(show(found), flush=True)

    if args.images:
        chosen = {kind: x for kind, x in pictures.items() if any(part in kind for part in args.only)}
        for name, prior in priors.items():
            for found in likeness_of_images(prior, name, chosen):
                tell(found)
    else:
        for case in (case for case in CASES if any(part in case.name for part in args.only)):
            method = Method(steps=args.steps)
            tell(row(case, priors[case.prior], pictures[case.image][0], args.draws, method))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
