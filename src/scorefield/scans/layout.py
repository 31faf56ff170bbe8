"""The ``.scan`` file: a scan's tensors, and a record of the rest (:mod:`scorefield.store.tensors`).

Each field of a scan that is a tensor is a tensor of the file by the same name; those of its noise are "noise.<name>".
The record holds the version of the layout, the kind of scan (a class of :mod:`scorefield.scans`), its other fields, the
noise (a class of :mod:`scorefield.noise`) and the frame.  Version 1 is that of scorefield 0.1, see
:mod:`scorefield.scans.layout_1`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from scorefield import noise as laws
from scorefield.data.frame import Frame
from scorefield.errors import InputError
from scorefield.noise import Noise
from scorefield.scans.layout_1 import CLASSES, upgrade
from scorefield.store.tensors import TensorFile

__all__ = ["CLASSES", "check_name", "matches", "read", "suffixes", "write"]

suffixes = (".scan",)
VERSION = 2
FILE = TensorFile(
    "scorefield", "a scan", "copy it again, or save it again with Scan.save if it was cut short or is no scan"
)
S = TypeVar("S")


def matches(path: Path) -> bool:
    """Whether the name ends in ``.scan``."""
    return path.name.lower().endswith(suffixes)


def check_name(path: Path) -> Path:
    """The path, if a scan may have it.

    Raises:
        InputError: another suffix.
    """
    if not matches(path):
        raise InputError(f"A scan is saved under a name ending in .scan, not {path}; rename it.")
    return path


def write(path: str | os.PathLike[str], kind: str, fields: Mapping[str, Any]) -> Path:
    """Write the scan of a ``kind`` and its ``fields``, whole or not at all.

    Raises:
        InputError: another suffix, or a noise that is not of :mod:`scorefield.noise`.
    """
    path = check_name(Path(path))
    others = {name: value for name, value in fields.items() if name not in ("noise", "frame")}
    noise, numbers = _arguments(fields["noise"]), {n: v for n, v in others.items() if not isinstance(v, Tensor)}
    tensors = {name: value for name, value in others.items() if isinstance(value, Tensor)}
    tensors |= {f"noise.{name}": value for name, value in noise.items() if isinstance(value, Tensor)}
    frame: Frame = fields["frame"]
    record = {
        "version": VERSION,
        "kind": kind,
        "fields": numbers,
        "noise": {"class": type(fields["noise"]).__name__,
                  "fields": {n: v for n, v in noise.items() if not isinstance(v, Tensor)}},
        "frame": {"spacing": frame.spacing, "unit": frame.unit, "modality": frame.modality,
                  "affine": None if frame.affine is None else frame.affine.tolist()},
    }  # fmt: skip
    return FILE.write(path, tensors, record)


def read(path: str | os.PathLike[str], kinds: Mapping[str, type[S]]) -> S:
    """The scan in a file, of one of the ``kinds``.

    Raises:
        InputError: missing, damaged, of another program, of a newer version or of an unknown kind.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no scan {path}; check the name.")
    if not matches(path):
        raise InputError(
            f"{path} is no .scan file of scorefield; sf.raw.read(path) and 'scorefield reconstruct' read raw files of"
            " scanners, and the page 'Your own raw data' says how arrays become a scan."
        )
    with FILE.reading(path) as (tensors, record):
        _check_version(record.get("version"), path)
        kind, fields = (upgrade if record["version"] == 1 else _fields)(record, tensors)
        if kind not in kinds:
            raise InputError(f"{path} holds a scan of the kind {kind}, and this scorefield knows {', '.join(kinds)}.")
        return kinds[kind](**{**fields, "frame": replace(fields["frame"], source=str(path))})


def _check_version(version: Any, path: Path) -> None:
    if not isinstance(version, int):
        raise InputError(f"{path} is not a scan of scorefield; save it with Scan.save.")
    if version > VERSION:
        raise InputError(
            f"{path} was written by a newer version of scorefield: it has scan layout {version}, and this one reads"
            f" up to {VERSION}; update scorefield."
        )


def _fields(record: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Kind and fields of a scan of layout 2."""
    plain = record["noise"]
    if plain["class"] not in laws.__all__:
        raise InputError(f"The scan has noise of the unknown law {plain['class']}; update scorefield.")
    own = {name.removeprefix("noise."): value for name, value in tensors.items() if name.startswith("noise.")}
    noise = getattr(laws, plain["class"])(**plain["fields"], **own)
    others = {name: value for name, value in tensors.items() if not name.startswith("noise.")}
    return record["kind"], {**record["fields"], **others, "noise": noise, "frame": Frame(**record["frame"])}


def _arguments(noise: Noise) -> dict[str, Any]:
    """The constructor's arguments of a noise, by name.

    Raises:
        InputError: a law that is not exported by :mod:`scorefield.noise`.
    """
    if getattr(laws, type(noise).__name__, None) is not type(noise):
        raise InputError(
            f"A scan with noise of the class {type(noise).__name__} cannot be saved; take one of sf.noise."
        )
    return {name: getattr(noise, name) for name in inspect.signature(type(noise)).parameters}
