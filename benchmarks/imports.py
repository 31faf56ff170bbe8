"""The time until scorefield answers, over that of bare Python and of torch, side by side in one run.

    python benchmarks/imports.py [--rounds 7] [--json PATH]

Each measurement is a process of its own; the commands take turns, and the medians are printed.  ``import scorefield``
imports nothing else until a name is used, and the help page needs no torch: over bare Python the first is to stay
below 0.1 s and the second below 0.3 s.  All public names at once cost what the last line says over torch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import scorefield": ["-c", "import scorefield"],
    "scorefield --help": ["-m", "scorefield", "--help"],
    "all names": ["-c", "import scorefield as sf; [getattr(sf, name) for name in sf.__all__]"],
}
OVER = [("import scorefield", "python", 0.1), ("scorefield --help", "python", 0.3), ("all names", "import torch", None)]


def seconds(command: list[str]) -> float:
    """The time of one process."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - begin


def main() -> None:
    """Print, and keep, the medians and what each command costs over its reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each command")
    parser.add_argument("--json", type=Path, help="keep the numbers here")
    options = parser.parse_args()
    runs = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(options.rounds + 1)]
    medians = {name: statistics.median(run[name] for run in runs[1:]) for name in COMMANDS}  # the first fills caches
    print(", ".join(f"{name}: {median:.2f} s" for name, median in medians.items()))
    for name, reference, bound in OVER:
        over = medians[name] - medians[reference]
        verdict = "" if bound is None else f", {'below' if over < bound else 'NOT below'} {bound} s"
        print(f"{name} over {reference}: {over:.3f} s{verdict}")
    if options.json:
        options.json.write_text(json.dumps(medians, indent=2) + "\n")


if __name__ == "__main__":
    main()
