"""The demo's two reconstructions against those of an earlier commit: time and peak memory, side by side in one run.

    python benchmarks/versions.py [--commit 4390924] [--rounds 3] [--draws 4] [--json PATH]

The earlier tree is unpacked into a temporary folder.  Each measurement is a process of its own with one thread; the two
trees take turns, and the ratio of the medians is printed.  Below 1 is better.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION_0_1 = "4390924"
CASES = {"ct": ("ct_slice", "sf.ParallelCT(views=20, photons=1e4)", "body"),
         "mri": ("mr_slice", "sf.CartesianMRI()", "brain")}  # fmt: skip
SCRIPT = """
import json, resource, time, torch
import scorefield as sf
from scorefield.data import {image}
torch.set_num_threads(1)
measurement = sf.simulate({image}(), {protocol}, seed=0).measurement()
prior = sf.load(sf.shipped.find("{prior}"))
begin = time.perf_counter()
sf.reconstruct(prior, measurement, n={draws}, seed=0)
seconds = time.perf_counter() - begin
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def unpack(commit: str, folder: Path) -> Path:
    """The tree of a commit in ``folder``."""
    archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def measure(tree: Path, case: str, draws: int) -> tuple[float, float]:
    """Seconds and peak megabytes of one reconstruction by the code in ``tree``."""
    image, protocol, prior = CASES[case]
    script = SCRIPT.format(image=image, protocol=protocol, prior=prior, draws=draws)
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    seconds, megabytes = json.loads(done.stdout.splitlines()[-1])
    return seconds, megabytes


def main() -> None:
    """Print, and keep, the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default=VERSION_0_1, help="the earlier commit")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each tree")
    parser.add_argument("--draws", type=int, default=4, help="draws of a reconstruction")
    parser.add_argument("--json", type=Path, help="keep the numbers here")
    options = parser.parse_args()
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        trees = [ROOT, unpack(options.commit, Path(folder))]
        for case in CASES:
            runs = [[measure(tree, case, options.draws) for tree in trees] for _ in range(options.rounds)]
            now, before = (
                [statistics.median(run[k][what] for run in runs) for what in range(2)] for k in range(2)
            )  # fmt: skip
            ratios[case] = {"time": now[0] / before[0], "memory": now[1] / before[1]}
            print(f"{case}: {now[0]:.1f} s over {before[0]:.1f} s = {ratios[case]['time']:.2f},"
                  f" {now[1]:.0f} MB over {before[1]:.0f} MB = {ratios[case]['memory']:.2f}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(ratios, indent=2) + "\n")


if __name__ == "__main__":
    main()
