"""Projectors side by side: scorefield against scikit-image and, where importable, ASTRA and DeepInverse.

    python benchmarks/ct.py [--views 23 180] [--batches 1 16] [--repeats 5] [--json ct.json]

All run in one process on one thread, on the same 256 x 256 images.  A time is the best of the repeats, the
tools in turn within each repeat, so that the load of the machine meets all of them.  Read the ratios: how
many times as long as scorefield in the same geometry.  "apart" is the relative L2 distance of the sinograms:
a ratio means something where the tools compute the same thing.  A tool that cannot be imported or fails is
named, with its reason.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield.operators import Projector, parallel_beam

SIZE = 256
DETECTORS = SIZE + 1  # odd, so that one bin looks at the rotation center; scikit-image has all but the last


@dataclass(frozen=True)
class Rival:
    """Another tool's projector, and ours in its geometry; it has our first ``bins`` detectors."""

    name: str
    ours: Projector
    forward: Callable[[Tensor], Any]
    adjoint: Callable[[Tensor], Any]
    bins: int = DETECTORS


def angles(views: int) -> np.ndarray:
    return np.arange(views) * math.pi / views


def images(batch: int) -> Tensor:
    """Smooth random images inside the inscribed disk, which is all that scikit-image projects."""
    noise = torch.randn(batch, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(noise, 9, stride=1, padding=4)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    return smooth * torch.from_numpy(np.hypot(x, y) < SIZE / 2 - 8)


def scikit_image(views: int) -> Rival:
    """Interpolating rotation; loops over the batch.  Its adjoint is the unfiltered ``iradon``."""
    from skimage.transform import iradon, radon

    degrees = np.rad2deg(angles(views))

    def forward(x: Tensor) -> Tensor:
        return torch.stack([torch.from_numpy(radon(image[0].numpy(), degrees, circle=True).T[None]) for image in x])

    def adjoint(y: Tensor) -> list[np.ndarray]:
        unfiltered: Any = None  # skimage's annotation wants a name, its documentation allows None
        return [iradon(s[0].numpy().T, degrees, filter_name=unfiltered, circle=True) for s in y]

    center = (SIZE // 2, SIZE // 2)
    ours = parallel_beam((1, SIZE, SIZE), angles(views), DETECTORS, center=center)
    return Rival("scikit-image", ours, forward, adjoint, SIZE)


def astra_linear(views: int) -> Rival:
    """ASTRA's Joseph projector on the CPU, projector made once; loops over the batch."""
    import astra  # pyright: ignore[reportMissingImports]

    volume = astra.create_vol_geom(SIZE, SIZE)
    rays = astra.create_proj_geom("parallel", 1.0, DETECTORS, angles(views))
    operator = astra.OpTomo(astra.create_projector("linear", rays, volume))

    def forward(x: Tensor) -> Tensor:
        rows = [operator.FP(image[0].numpy()) for image in x]
        return torch.from_numpy(np.stack(rows)).reshape(len(x), 1, views, DETECTORS)

    def adjoint(y: Tensor) -> list[np.ndarray]:
        return [operator.BP(sinogram[0].numpy()) for sinogram in y]

    return Rival("ASTRA linear", parallel_beam((1, SIZE, SIZE), angles(views), DETECTORS), forward, adjoint)


def deepinverse(views: int) -> Rival:
    """DeepInverse's parallel beam, the batch at once; without padding it rotates about the middle."""
    import deepinv  # pyright: ignore[reportMissingImports]

    degrees = torch.from_numpy(np.rad2deg(angles(views))).float()
    physics = deepinv.physics.Tomography(angles=degrees, img_width=SIZE, circle=True, normalize=False)

    def forward(x: Tensor) -> Tensor:
        return physics.A(x).mT

    def adjoint(y: Tensor) -> Tensor:
        return physics.A_adjoint(y.mT)

    return Rival("DeepInverse", parallel_beam((1, SIZE, SIZE), angles(views), SIZE), forward, adjoint, SIZE)


RIVALS = (scikit_image, astra_linear, deepinverse)


def best(calls: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Milliseconds of each call, best of the repeats, the calls in turn."""
    times = [math.inf] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            times[i] = min(times[i], 1e3 * (time.perf_counter() - start))
    return times


def compare(rival: Rival, views: int, batch: int, repeats: int) -> dict[str, Any]:
    """One row of the table."""
    x = images(batch)
    y = rival.ours(x)
    theirs = y[..., : rival.bins].contiguous()
    made = rival.forward(x)
    mine, other = best([lambda: rival.ours(x), lambda: rival.forward(x)], repeats)
    back, other_back = best([lambda: rival.ours.H(y), lambda: rival.adjoint(theirs)], repeats)
    return {
        "tool": rival.name,
        "views": views,
        "batch": batch,
        "forward_ms": other,
        "adjoint_ms": other_back,
        "scorefield_forward_ms": mine,
        "scorefield_adjoint_ms": back,
        "forward_ratio": other / mine,
        "adjoint_ratio": other_back / back,
        "apart": ((made - theirs).norm() / theirs.norm()).item(),
    }


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['tool']:14s} {row['views']:5d} {row['batch']:5d}"
        f" {row['forward_ms']:10.1f} {row['scorefield_forward_ms']:10.1f} {row['forward_ratio']:7.1f}x"
        f" {row['adjoint_ms']:10.1f} {row['scorefield_adjoint_ms']:10.1f} {row['adjoint_ratio']:7.1f}x"
        f" {row['apart']:9.2%}"
    )


def contest(build: Callable[[int], Rival], views: int, options: argparse.Namespace, rows: list) -> str | None:
    """Prints and appends one rival's rows; the reason when it cannot take part."""
    try:
        rival = build(views)
        for batch in options.batches:
            rows.append(compare(rival, views, batch, options.repeats))
            print(line(rows[-1]), flush=True)
    except Exception as reason:  # a broken optional package may raise anything on import
        return f"{type(reason).__name__}: {reason}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, nargs="+", default=[23, 180])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("                               forward (ms)                   adjoint (ms)")
    print("tool           views batch      their       ours    ratio      their       ours    ratio     apart")
    rows, missing = [], {}
    for views in options.views:
        for build in RIVALS:
            reason = contest(build, views, options, rows)
            if reason:
                missing[build.__name__] = reason
    for name, reason in missing.items():
        print(f"skipped {name}: {reason}")
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows, "skipped": missing}, indent=1))


if __name__ == "__main__":
    main()
