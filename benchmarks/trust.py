"""What the checks of a single scan say of right and of wrong models, on simulated scans of real images.

    python benchmarks/trust.py --data DATA [--draws 2] [--steps 24] [--iterations 5] [--size 128]
        [--only NAME ...] [--json PATH]

Each row is one reconstruction with a shipped prior.  "z" and "misfit" are of the residual check, "p" and "surprise" of
the likeness check, "true p" is what the latter would say of the true image.  A star marks a check that speaks.  None of
the priors' images were held out but the slices between: "trained" rows are new scans of images the prior may know.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield import checkpoint, shipped
from scorefield.data import Image, Scan
from scorefield.measurement import Measurement
from scorefield.posteriors import MMPS
from scorefield.reconstruct import Method, intensity_of, reconstruct
from scorefield.simulate import WATER, CartesianMRI, ParallelCT, Protocol, simulate
from scorefield.trust import assess, likeness_check

MRI, CT = CartesianMRI(), ParallelCT(views=40, photons=2e4)
Change = Callable[[Scan], Scan]


def noise(factor: float) -> Change:
    """The scan states ``factor`` times its noise."""
    return lambda scan: replace(scan, noise_std=factor * scan.noise_std)


def shifted(pixels: float) -> Change:
    """The scan states a rotation center off by ``pixels`` along the columns."""

    def change(scan: Scan) -> Scan:
        _, height, width = scan.geometry["shape"]
        return replace(scan, geometry={**scan.geometry, "center": [(height - 1) / 2, (width - 1) / 2 + pixels]})

    return change


def rolled(bins: int) -> Change:
    """The data lie ``bins`` beside where the scan says: unlike a shifted center, no shift of the image explains it."""
    return lambda scan: replace(scan, data=scan.data.roll(bins, -1))


def array(name: str, change: Callable[[Tensor], Tensor]) -> Change:
    """The scan states changed ``arrays``: coil maps, angles."""
    return lambda scan: replace(scan, arrays={**scan.arrays, name: change(scan.arrays[name])})


@dataclass(frozen=True)
class Case:
    """One scan: the image by name, the prior, the protocol, and what the scan states wrongly."""

    name: str
    image: str
    prior: str
    protocol: Protocol
    change: Change = lambda scan: scan


CASES = (
    Case("brain: trained subject, axial", "axial", "brain", MRI),
    Case("brain: trained subject, sagittal", "sagittal", "brain", MRI),
    Case("brain: trained subject, coronal", "coronal", "brain", MRI),
    Case("body: trained subject, abdomen", "abdomen", "body", CT),
    Case("body: trained subject, thorax", "thorax", "body", CT),
    Case("body: trained subject, head", "head", "body", CT),
    Case("another brain: other adult, T1", "other brain", "brain", MRI),
    Case("another brain: Colin27 average", "Colin27", "brain", MRI),
    Case("anatomy: heart with brain prior", "heart", "brain", MRI),
    Case("anatomy: spine T2* with brain prior", "spine", "brain", MRI),
    Case("anatomy: CT with brain prior", "abdomen", "brain", MRI),
    Case("anatomy: brain MR with body prior", "axial", "body", CT),
    Case("contrast: brain inverted", "inverted", "brain", MRI),
    Case("noise stated 1.5x too low, MRI", "axial", "brain", MRI, noise(1 / 1.5)),
    Case("noise stated 1.5x too high, MRI", "axial", "brain", MRI, noise(1.5)),
    Case("noise stated 1.5x too low, CT", "abdomen", "body", CT, noise(1 / 1.5)),
    Case("noise stated 1.5x too high, CT", "abdomen", "body", CT, noise(1.5)),
    Case("operator: CT center off by 1 pixel", "abdomen", "body", CT, shifted(1.0)),
    Case("operator: CT detector off by 1 bin", "abdomen", "body", CT, rolled(1)),
    Case("operator: CT angles 2 % too large", "abdomen", "body", CT, array("angles", lambda a: 1.02 * a)),
    Case("operator: coil maps turned by 1/16", "axial", "brain", MRI, array("coils", lambda c: _turned(c, 1 / 16))),
    Case("operator: coil maps mirrored", "axial", "brain", MRI, array("coils", lambda c: c.flip(-1))),
)


def _turned(coils: Tensor, part: float) -> Tensor:
    """Coil maps turned by a part of a circle: between those of neighbors, phase by phase."""
    n, height, width = coils.shape[-3:]
    angle = 2 * math.pi * part
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = torch.nn.functional.affine_grid(turn.expand(n, 2, 3), [n, 2, height, width], align_corners=False)
    pairs = torch.view_as_real(coils.reshape(n, height, width).to(torch.complex64)).permute(0, 3, 1, 2)
    moved = torch.nn.functional.grid_sample(pairs, grid, padding_mode="border", align_corners=False)
    return torch.view_as_complex(moved.permute(0, 2, 3, 1).contiguous()).reshape(coils.shape).to(coils.dtype)


def images(data: Path, size: int) -> dict[str, Tensor]:
    """Named slices (1, size, size) about the middle; MR over its 99th percentile, CT as 1 + HU/1000."""
    import nibabel

    def volume(path: str) -> np.ndarray:
        return np.asarray(nibabel.load(data / path).dataobj, np.float32)  # pyright: ignore

    def middle(x: np.ndarray) -> Tensor:
        starts = [max(0, (side - size) // 2) for side in x.shape]
        return torch.tensor(x[starts[0] : starts[0] + size, starts[1] : starts[1] + size], dtype=torch.float32)[None]

    def magnetic(x: np.ndarray) -> Tensor:
        cut = middle(x)
        return cut / intensity_of(cut)

    brain = volume("brain-t1-studyforrest/sub02_T1w_brain_slices140-375.nii.gz")
    heart = volume("mri-heart-seg3d/heart_tfl3d_44x640x640.nii.gz")
    torso = 1 + volume("ct-torso-totalseg/example_ct.nii.gz").clip(-1000, 2000) / 1000
    chest = 1 + volume("ct-torso-totalseg/pulmonary_ct_cropped.nii.gz").clip(-1000, 2000) / 1000
    head = 1 + np.load(data / "ct-head-ge" / "ge_head_hu.npz")["hu"].astype(np.float32).clip(-1000, 2000) / 1000
    axial = magnetic(brain[:, :, 93])
    return {
        "axial": axial,
        "sagittal": magnetic(brain[147]),
        "coronal": magnetic(brain[:, 135]),
        "inverted": (axial.max() - axial) * (axial > 0.1),
        "abdomen": middle(torso[:, :, torso.shape[2] // 2]),
        "thorax": middle(chest[:, :, chest.shape[2] // 2]),
        "head": middle(head[10].reshape(128, 4, 128, 4).mean((1, 3))),
        "other brain": magnetic(np.load(data / "mri-small-nibabel-dipy" / "t1_coronal_slice.npy").squeeze()),
        "Colin27": magnetic(volume("brain-templates/ch2.nii.gz")[:, :, 80]),
        "heart": magnetic(heart[::2, ::2, 20]),
        "spine": magnetic(volume("mri-spine-sct/t2s_t2s_uncropped.nii.gz")[:, :, 5]),
    }


def row(case: Case, truth: Tensor, draws: int, method: Method) -> dict[str, Any]:
    """One reconstruction and what the checks say of it."""
    prior = checkpoint.load(shipped.find(case.prior))
    truth = truth * WATER if isinstance(case.protocol, ParallelCT) else truth
    scan = case.change(simulate(Image(truth, (2.0, 2.0), source=case.image), case.protocol))
    given: Measurement = scan.measurement()
    samples = reconstruct(prior, given, n=draws, seed=0, method=method)
    trust = assess(samples, given, prior)
    scale = prior.card.amplitude / samples.provenance["intensity"]
    true = likeness_check(scale * truth[None], prior, prior.reference)
    likeness = trust.likeness
    return {
        "case": case.name,
        "z": trust.residual.z,
        "misfit": trust.residual.ratio,
        "misfit_speaks": not trust.residual.passed,
        "p": likeness.p_value if likeness else None,
        "surprise": likeness.surprise if likeness else None,
        "kind_speaks": likeness is not None and not likeness.passed,
        "true_p": true.p_value if true else None,
        "error": float((samples.mean - truth).square().mean().sqrt()) / intensity_of(truth),
        "seconds": samples.cost.seconds,
    }


def show(found: dict[str, Any]) -> str:
    """One line of the table."""

    def number(key: str, spec: str) -> str:
        return "-" if found[key] is None else format(found[key], spec)

    return (
        f"{found['case']:38s} {found['z']:+8.1f} {found['misfit']:7.3f} {'*' if found['misfit_speaks'] else ' '}"
        f" {number('p', '6.3f')} {number('surprise', '+6.2f')} {'*' if found['kind_speaks'] else ' '}"
        f" {number('true_p', '6.3f')} {found['error']:6.3f} {found['seconds']:5.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--iterations", type=int, default=5, help="of the posterior's solver; 5 is reconstruct's")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--only", nargs="*", default=[""], help="cases whose name has one of these")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    method = Method(steps=args.steps, posterior=partial(MMPS, iterations=args.iterations))
    pictures, rows = images(args.data, args.size), []
    print(f"{'case':38s} {'z':>8s} {'misfit':>7s}   {'p':>6s} {'surpr.':>6s}   {'true p':>6s} {'error':>6s}   time")
    for case in CASES:
        if any(part in case.name for part in args.only):
            rows.append(row(case, pictures[case.image], args.draws, method))
            print(show(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
