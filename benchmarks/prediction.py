"""What draws say of data that they did not see, under right and wrong models: the power of ``trust.prediction_check``.

    python benchmarks/prediction.py [--draws 8] [--size 96] [--share 0.05] [--only NAME ...] [--json PATH]

Each row is one simulated scan of a slice of the package, stated rightly or with one error.  A share of its lines or
views is left out and images are drawn from the rest.  "errors" is the size of the errors of prediction over what the
draws claim, "chance" the range that is usual, "misfit" the residual check of the same draws on the data they saw.  A
star marks a check that speaks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scorefield import shipped
from scorefield.calibration import recalibrated
from scorefield.data import Image, ct_slice, mr_slice
from scorefield.noise import White
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.scans.protocols import CartesianMRI, ParallelCT, Protocol, measure
from scorefield.scans.scan import Scan
from scorefield.store import checkpoint
from scorefield.trust import compare_predictions, residual_check
from scorefield.trust.prediction import SHARE

sys.path.insert(0, str(Path(__file__).parent))
from trust import array, noise, rolled, turned

MRI, CT = CartesianMRI(), ParallelCT(views=40, photons=2e4)
Change = Callable[[Scan, Scan], Scan]


def stated(change: Callable[[Scan], Scan]) -> Change:
    """The scan states something wrong."""
    return lambda scan, moved: change(scan)


def motion(scan: Scan, moved: Scan) -> Scan:
    """The second half of the lines or views is of the image after it moved."""
    readouts = scan.readouts
    late = readouts.labels >= len(readouts) // 2
    shape = [1] * scan.data.ndim
    shape[readouts.axis] = -1
    return replace(scan, data=torch.where(late.reshape(shape), moved.data, scan.data))


@dataclass(frozen=True)
class Case:
    """One scan.

    Args:
        name: of the row.
        protocol: MRI of the head or CT of the trunk.
        prior: name of a shipped prior.
        change: what is wrong with it.
        shift: pixels by which the moved image lies to the right.
        seed: of the scan.
        spread: factor on the distances of the draws from their mean, as of a sampler that is too sure.
    """

    name: str
    protocol: Protocol
    prior: str
    change: Change = lambda scan, moved: scan
    shift: int = 0
    seed: int = 0
    spread: float = 1.0


CASES = (
    Case("MRI, right", MRI, "brain"),
    Case("MRI, right, another scan", MRI, "brain", seed=1),
    Case("MRI, noise stated 1.5 times too low", MRI, "brain", stated(noise(1 / 1.5))),
    Case("MRI, noise stated 1.5 times too high", MRI, "brain", stated(noise(1.5))),
    Case("MRI, coil maps turned by 1/256", MRI, "brain", stated(array("coils", lambda c: turned(c, 1 / 256)))),
    Case("MRI, coil maps turned by 1/64", MRI, "brain", stated(array("coils", lambda c: turned(c, 1 / 64)))),
    Case("MRI, motion by 1 pixel", MRI, "brain", motion, shift=1),
    Case("MRI, motion by 3 pixels", MRI, "brain", motion, shift=3),
    Case("MRI, prior of CT", MRI, "body"),
    Case("MRI, prior of photographs", MRI, "photo"),
    Case("MRI, spread of the draws halved", MRI, "brain", spread=0.5),
    Case("MRI, spread of the draws doubled", MRI, "brain", spread=2.0),
    Case("CT, right", CT, "body"),
    Case("CT, right, another scan", CT, "body", seed=1),
    Case("CT, noise stated 1.5 times too low", CT, "body", stated(noise(1 / 1.5))),
    Case("CT, noise stated 1.5 times too high", CT, "body", stated(noise(1.5))),
    Case("CT, detector off by 1 bin", CT, "body", stated(rolled(1))),
    Case("CT, angles 2 % too large", CT, "body", stated(array("angles", lambda a: 1.02 * a))),
    Case("CT, motion by 1 pixel", CT, "body", motion, shift=1),
    Case("CT, prior of head MR", CT, "brain"),
    Case("CT, spread of the draws halved", CT, "body", spread=0.5),
    Case("CT, spread of the draws doubled", CT, "body", spread=2.0),
)


def row(case: Case, draws: int, size: int, share: float) -> dict[str, Any]:
    """One scan, its draws without a share of the data, and both checks."""
    image = case.protocol.prepare(ct_slice() if isinstance(case.protocol, ParallelCT) else mr_slice())
    rows, columns = image.spatial
    top, left = (rows - size) // 2, (columns - size) // 2
    pixels = image.pixels[:, top : top + size, left : left + size]
    frame = replace(image.frame, affine=None)
    scan, moved = (
        measure(Image.of(part, frame), case.protocol, seed=case.seed) for part in (pixels, pixels.roll(case.shift, -1))
    )
    rest, unseen = case.change(scan, replace(moved, noise=White(1.0))).leave_out(share, seed=case.seed)
    samples = reconstruct(checkpoint.load(shipped.find(case.prior)), rest.measurement(), n=draws, seed=0)
    samples = recalibrated(samples, case.spread)
    found, fit = compare_predictions(samples, unseen.measurement()), residual_check(samples, rest.measurement())
    return {"case": case.name, **found.record(), "left": len(unseen.readouts), "of": len(scan.readouts),
            "misfit": fit.ratio, "misfit_passed": fit.passed, "seconds": samples.cost.seconds}  # fmt: skip


def show(found: dict[str, Any]) -> str:
    """One line of the table."""
    low, high = found["chance"]
    return (
        f"{found['case']:40s} {found['left']} of {found['of']:2d} {found['ratio']:7.3f}"
        f" {' ' if found['passed'] else '*'} {low:5.2f} to {high:4.2f} {found['rms']:7.3f} {found['misfit']:7.3f}"
        f" {' ' if found['misfit_passed'] else '*'} {found['seconds']:5.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--share", type=float, default=SHARE, help="of the lines or views that are left out")
    parser.add_argument("--only", nargs="*", default=[""], help="cases whose name has one of these")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(f"{'case':40s} left    errors   chance         rms z  misfit")
    for case in (case for case in CASES if any(part in case.name for part in args.only)):
        rows.append(row(case, args.draws, args.size, args.share))
        print(show(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
