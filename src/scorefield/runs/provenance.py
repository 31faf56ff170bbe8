"""The origin of a result: its prior, kernel and levels, its random numbers, and the versions of the software."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Mapping
from pathlib import PurePath, PureWindowsPath
from typing import Any

import torch
from torch import Tensor

from scorefield import __version__
from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.store.description import build, describe

RUN = ("seed", "batch", "streams")  # entries that belong to the run and not to the distribution
VERSIONS = ("versions",)  # entries that may change between the sessions of a sampling, and between runs to merge
DRAWS = ("trust",)  # entries about the draws of one run; they do not hold for more draws


def provenance(prior: Prior, kernel: Kernel, sigmas: Tensor, *, seed: int, batch: int) -> dict[str, object]:
    """Where draws come from, as JSON-able data: objects, levels, random numbers, versions."""
    return {
        "prior": outline(prior),
        "kernel": outline(kernel),
        "sigmas": [round(float(s), 9) for s in sigmas],
        "seed": seed,
        "batch": batch,
        "versions": {
            "scorefield": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def name_of(thing: object) -> str:
    """The name of a function, or of an object's class."""
    return getattr(thing, "__name__", type(thing).__name__)


def without_folders(value: Any) -> Any:
    """The value with the last name of each path in place of the path, so that no record names folders of a machine.

    Paths are ``Path`` objects, and texts that are absolute or begin with ``~`` or ``..``; other texts stay.  Mappings
    and sequences are searched.
    """
    if isinstance(value, Mapping):
        return {name: without_folders(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(part) for part in value]
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, str) and (value.startswith(("/", "~", "..")) or PureWindowsPath(value).is_absolute()):
        return PureWindowsPath(value).name  # both kinds of slashes
    return value


def merge_origins(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The origin of two runs together.

    Their seeds and batches become lists, and so do versions of the software that differ.  All else must agree, but for
    fields that a class has got since one of the two was written and that have their defaults.  Entries about the draws
    of one run only are left out.

    Raises:
        InputError: the origins differ, or both runs drew with the same seed.
    """
    for key in sorted({*mine, *theirs} - {*RUN, *VERSIONS, *DRAWS}):
        if not (_agree(mine.get(key), theirs.get(key)) or _agree(theirs.get(key), mine.get(key))):
            raise InputError(f"Cannot merge samples that differ in '{key}'; they are from different distributions.")
    runs = {key: (_as_list(mine.get(key)), _as_list(theirs.get(key))) for key in (*RUN, *VERSIONS)}
    repeated = set(runs["seed"][0]) & set(runs["seed"][1])
    if repeated:
        raise InputError(f"Both samples hold draws of seed {min(repeated)}, so some are the same; use another seed.")
    common = {key: value for key, value in mine.items() if key not in DRAWS}
    joined = {key: a + b for key, (a, b) in runs.items() if a + b}
    for key in joined.keys() & {*VERSIONS}:
        different = [value for place, value in enumerate(joined[key]) if value not in joined[key][:place]]
        joined[key] = different if len(different) > 1 else different[0]
    return {**common, **joined}


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """The name of the first entry in which two origins differ; None where both give the same draws.

    Versions do not count, nor do fields that a class has got since ``old`` was written and that have their defaults.
    """
    for name, value in old.items():
        if name == "provenance":
            inner = difference(value, new.get(name, {}))
            if inner:
                return inner
        elif name not in VERSIONS and not _agree(value, new.get(name)):
            return name
    return None


def _agree(old: Any, new: Any) -> bool:
    if old == new or not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return old == new
    try:
        with torch.random.fork_rng(devices=[]):  # networks draw their weights
            return describe(build(old)) == new  # with the fields of today
    except (InputError, TypeError):  # a foreign class, or one with data: its new fields are not compared
        return all(_agree(value, new.get(name)) for name, value in old.items())


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def outline(thing: Any) -> object:
    """The description of an object of scorefield; of any other its class, its plain fields and our objects inside.

    A description holds no data, so a measurement is left out.
    """
    try:
        return describe(thing)
    except InputError:
        values = {name: getattr(thing, name, None) for name in inspect.signature(type(thing)).parameters}
        fields = {name: outline(value) for name, value in values.items() if _is_plain(value)}
        return {"class": type(thing).__name__, "fields": fields}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (Prior, bool, int, float, str)):
        return True
    return type(value).__module__.startswith("scorefield.") and not isinstance(value, Measurement)
