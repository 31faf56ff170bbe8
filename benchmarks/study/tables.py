"""The tables of the page."""

from __future__ import annotations

from collections.abc import Sequence

from .figures import SHIFTS, TASK_OF
from .plan import OBJECTS
from .priors import RECIPES
from .results import Results
from .statistics import Interval

DASH = "\N{EN DASH}"
BASELINES = {
    "direct": "as measured",
    "tv": "total variation, tuned",
    "tv-oracle": "total variation, best weight of each slice (a bound)",
    "bm3d": "BM3D (for scans: plug and play)",
}
LONGER = ("p3-100-x4", "told-100-x4", "unet-100-x4", "unet-100-x16")
SHOWN = ("direct", "tv", "tv-oracle", "bm3d", *(f"{name}-100" for name in RECIPES))


def title(method: str) -> str:
    """What a method is, from its name in the results."""
    if method in BASELINES:
        return BASELINES[method]
    recipe = next(name for name in sorted(RECIPES, key=len, reverse=True) if method.startswith(name))
    label, parts = RECIPES[recipe].label, method.split("-")
    if "1" in parts:
        label += ", 1 training slice"
    if "again" in parts:
        label += ", second seed"
    longer = [part[1:] for part in parts if part[0] == "x" and part[1:].isdigit()]
    return f"{label}, trained {longer[0]} times as long" if longer else label


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rule = ["---"] * len(head)
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def _against(results: Results, method: str, task: str, shift: str, key: str = "psnr") -> str:
    if method == "tv" or not results.has("tv", task, shift):
        return DASH
    return _bold(results.difference(method, "tv", task, shift, key))


def _bold(found: Interval) -> str:
    return f"**{found}**" if found.sure else str(found)


def denoising(results: Results) -> str:
    """PSNR on brains like those of the training, and the difference to tuned total variation."""
    methods = [*SHOWN, "p3-100-again", "unet-100-again", *LONGER, "unet-1-x16"]
    rows = []
    for method in methods:
        cells = []
        for task in ("noise-0.05", "noise-0.1"):
            there = results.has(method, task)
            cells += (
                [f"{results.mean(method, task):.2f}", _against(results, method, task, "none")] if there else [DASH] * 2
            )
        if any(cell != DASH for cell in cells):
            rows.append([title(method), *cells])
    return table(["", "noise .05: PSNR", "over TV", "noise .1: PSNR", "over TV"], rows)


def sizes(results: Results) -> str:
    """Training-set sizes."""
    rows = []
    for name in ("p3", "p9", "told", "unet"):
        for task in ("noise-0.05", "noise-0.1"):
            cells = [
                _against(results, f"{name}-{n}", task, "none") if results.has(f"{name}-{n}", task) else DASH
                for n in (1, 5, 25, 100)
            ]
            rows.append([RECIPES[name].label, task[6:].lstrip("0"), *cells])
    return table(["over tuned TV", "noise", "1 slice", "5", "25", "100"], rows)


def shifts(results: Results) -> str:
    """Every prior under every shift, against tuned total variation."""
    names = [name for name in (*SHOWN, *LONGER) if results.has(name, "noise-0.1", "contrast: inverted")]
    rows = [["TV, PSNR", *(f"{results.mean('tv', TASK_OF.get(s, 'noise-0.1'), s):.2f}" for s in SHIFTS)]]
    methods = [name for name in names if name not in ("direct", "tv")]
    rows += [[title(name), *(_shifted(results, name, "tv", shift) for shift in SHIFTS)] for name in methods]
    return table(["over TV", *SHIFTS], rows)


PAIRS = (
    ("p3-100", "unet-biased-100", "3 x 3 patches over U-Net, neither scale invariant"),
    ("p3-scale-100", "unet-100", "3 x 3 patches over U-Net, both scale invariant"),
    ("p9-100", "unet-biased-100", "9 x 9 patches over U-Net, neither scale invariant"),
    ("told-100", "unet-100", "CNN of 9 x 9 pixels over U-Net, both scale invariant"),
    ("told-100-x4", "unet-100-x4", "CNN of 9 x 9 pixels over U-Net, both trained 4 times as long"),
    ("told-100-x4", "unet-100-x16", "CNN of 9 x 9 pixels, trained 4 times as long, over U-Net, 16 times"),
    ("p3-100-x4", "unet-100-x4", "3 x 3 patches over scale-invariant U-Net, both trained 4 times as long"),
    ("p3-scale-100", "unet-100-x16", "scale-invariant 3 x 3 patches over U-Net trained 16 times as long"),
)


def patch_or_whole(results: Results) -> str:
    """Small against whole-image receptive fields, shift by shift."""
    rows = [
        [label, *(_shifted(results, a, b, shift) for shift in SHIFTS)]
        for a, b, label in PAIRS
        if results.has(a, "noise-0.1") and results.has(b, "noise-0.1")
    ]
    return table(["", *SHIFTS], rows)


def _shifted(results: Results, a: str, b: str, shift: str) -> str:
    task = TASK_OF.get(shift, "noise-0.1")
    if not (results.has(a, task, shift) and results.has(b, task, shift)):
        return DASH
    return _bold(results.difference(a, b, task, shift))


def scans(results: Results, task: str, shift: str) -> str:
    """Reconstructions: accuracy beside calibration."""
    few = (f"{name}-1" for name in RECIPES)
    methods = [*SHOWN, *LONGER, *few, *(f"{name}-body-{n}" for name in RECIPES for n in (100, 1))]
    rows = []
    for method in methods:
        if not results.has(method, task, shift):
            continue
        row = [title(method), f"{results.mean(method, task, shift):.2f}", _against(results, method, task, shift)]
        if results.sampled(method, task, shift):
            mean = {key: results.mean(method, task, shift, key) for key in ("limit", "crps", "coverage", "expected")}
            ratio = results.mean(method, task, shift, "spread") / results.mean(method, task, shift, "error")
            row += [
                f"{mean['limit']:.2f}",
                _against(results, method, task, shift, "limit"),
                f"{1000 * mean['crps']:.1f}",
            ]
            row += [f"{mean['coverage']:.0%} ({mean['expected']:.0%})", f"{ratio:.2f}"]
        else:
            row += [DASH] * 5
        rows.append(
            [
                *row,
                f"{results.strength(method, task, shift):.2g}",
                f"{results.mean(method, task, shift, 'processor'):.1f}",
            ]
        )
    head = [
        "",
        "PSNR",
        "over TV",
        "PSNR, limit",
        "over TV",
        "1000 CRPS",
        "coverage (exact)",
        "spread / error",
        "strength",
        "seconds",
    ]
    return table(head, rows)


def scan_shifts(results: Results) -> str:
    """4x MRI under shift."""
    methods = [m for m in (*SHOWN, *LONGER) if m not in ("direct", "tv") and results.has(m, "mri", OBJECTS[1].name)]
    if not methods:
        return ""
    rows = []
    for shift in ("none", *(shift.name for shift in OBJECTS)):
        if not results.has("tv", "mri", shift):
            continue
        cells = []
        for m in methods:
            if not results.has(m, "mri", shift):
                cells.append(DASH)
            elif results.sampled(m, "mri", shift):
                cells.append(
                    f"{_against(results, m, 'mri', shift, 'limit')}, {results.mean(m, 'mri', shift, 'coverage'):.0%}"
                )
            else:
                cells.append(_against(results, m, "mri", shift))
        rows.append([shift, f"{results.mean('tv', 'mri', shift):.2f}", *cells])
    return table(["", "TV, PSNR", *(title(m) for m in methods)], rows)


def bodies(results: Results) -> str:
    """Denoising CT."""
    methods = [*SHOWN[:4], *(f"{name}-body-{n}" for n in (100, 1) for name in RECIPES)]
    rows = [
        [
            title(method),
            f"{results.mean(method, 'noise-0.1', 'none, CT'):.2f}",
            _against(results, method, "noise-0.1", "none, CT"),
        ]
        for method in methods
        if results.has(method, "noise-0.1", "none, CT")
    ]
    return table(["", "PSNR", "over TV"], rows)
