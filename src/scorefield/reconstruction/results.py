"""A reconstruction on disk: images with geometry, draws, and the record of the run, written all or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorefield.data import write
from scorefield.data.view import View
from scorefield.errors import InputError
from scorefield.noise.words import in_words
from scorefield.samples import Samples
from scorefield.scans.scan import Scan
from scorefield.store.atomic import atomic_folder, recover
from scorefield.store.plain import JsonFile

RUN = JsonFile("the record of a run", "reconstruct again")
DRAWS = "samples.safetensors"
REPORTS = ("report.html",)  # of an earlier run in the same folder, which the new run replaces
FILES = ("mean.nii.gz", "std.nii.gz", "lower.nii.gz", "upper.nii.gz", "mean.npy", "mean.png", DRAWS,
         "scan.scan", "run.json", *REPORTS)  # fmt: skip


def save_run(
    samples: Samples,
    folder: str | Path,
    *,
    scan: Scan,
    level: float = 0.9,
    record: Mapping[str, Any] | None = None,
    beside: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a folder with these files:

    - ``mean``, ``std``, ``lower``, ``upper`` (.nii.gz, all four of the magnitude where complex) in the image's unit and
      geometry,
    - ``mean.npy`` (the mean of the complex pixels where complex), ``mean.png`` (the picture of
      mean.nii.gz, oriented as in the report), ``samples.safetensors`` (every draw),
    - ``run.json``: cost, provenance, interval level, mean and std of nuisance parameters, ``record``, and the checksums
      of the other files;
    - ``NAME.npy``: each image in ``beside``, such as the truth.

    Raises:
        InputError: the folder cannot be written.
    """
    lower, upper = samples.interval(level)
    mean, shown = samples.mean, samples.magnitudes
    images = {"mean": shown.mean, "std": shown.std, "lower": lower, "upper": upper}
    plain = {"level": level, "unit": scan.unit, "noise": in_words(scan.noise), **(record or {})}
    plain |= {"cost": asdict(samples.cost), "provenance": dict(samples.provenance)}
    plain |= {"nuisance": summarize_nuisance(samples.nuisance)} if samples.nuisance else {}
    with atomic_folder(folder, obsolete=REPORTS) as temporary:
        for name, image in images.items():
            write(image, temporary / f"{name}.nii.gz", like=scan)
        write(mean, temporary / "mean.npy")
        write(torch.from_numpy(View.of(scan).plane(shown.mean))[None].float(), temporary / "mean.png")
        for name, image in (beside or {}).items():
            write(image, temporary / f"{name}.npy")
        samples.save(temporary / DRAWS)
        scan.save(temporary / "scan.scan")
        RUN.write(temporary / "run.json", plain, files=sorted(temporary.iterdir()))
    return Path(folder)


def summarize_nuisance(nuisance: Mapping[str, Tensor]) -> dict[str, dict[str, list[float]]]:
    """Mean and standard deviation over the draws of each parameter (n, k), as lists of k numbers, by name."""
    return {
        name: {"mean": theta.double().mean(0).tolist(), "std": theta.double().std(0).tolist()}
        for name, theta in nuisance.items()
    }


def load_draws(folder: str | Path) -> Samples:
    """The draws of the run in ``folder``.

    Raises:
        InputError: the folder is not one of :func:`save_run`, or its draws are damaged or not finite.
    """
    recover(folder)
    path = Path(folder) / DRAWS
    if not path.is_file():
        raise InputError(f"{folder} holds no {DRAWS}; give the folder that 'scorefield reconstruct' wrote.")
    samples = Samples.load(path)
    if not bool(samples.draws.isfinite().all()):
        raise InputError(f"{path} holds draws that are not finite; reconstruct again.")
    return samples


def load_record(folder: str | Path) -> dict[str, Any]:
    """What ``run.json`` says of the run in ``folder``; every file that it lists is checked.

    Raises:
        InputError: the record is missing or damaged, or another file is not the one that was written.
    """
    recover(folder)
    plain = RUN.read(Path(folder) / "run.json")
    for name in plain.get("files", {}):
        RUN.check(Path(folder) / Path(name).name, plain)
    return plain
