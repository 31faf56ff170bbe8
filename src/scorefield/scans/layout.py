"""The ``.scan`` file: one safetensors file with a scan's tensors, and JSON metadata for the rest, under a checksum.

It never holds a pickle.  Each field of a scan that is a tensor is a tensor of the file by the same name, those of its
noise are "noise.<name>", and complex ones are pairs of real numbers.  The metadata are the layout's version, the kind
of scan (a class of :mod:`scorefield.scans`), its other fields, the noise (a class of :mod:`scorefield.noise`) and the
frame.
Version 1 is that of scorefield 0.1, see :mod:`scorefield.scans.layout_1`.
"""

from __future__ import annotations

import inspect
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from scorefield import noise as laws
from scorefield.data.frame import Frame
from scorefield.data.reading import reading
from scorefield.errors import InputError
from scorefield.noise import Noise
from scorefield.scans.layout_1 import CLASSES, upgrade
from scorefield.store.atomic import atomic_path

__all__ = ["CLASSES", "matches", "read", "suffixes", "write"]

suffixes = (".scan",)
VERSION = 2
S = TypeVar("S")


def matches(path: Path) -> bool:
    """Whether the name ends in ``.scan``."""
    return path.name.lower().endswith(suffixes)


def write(path: str | os.PathLike[str], kind: str, fields: Mapping[str, Any]) -> Path:
    """Write the scan of a ``kind`` and its ``fields``, whole or not at all.

    Raises:
        InputError: another suffix, or a noise that is not of :mod:`scorefield.noise`.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if not matches(path):
        raise InputError(f"A scan is saved under a name ending in .scan, not {path}; rename it.")
    others = {name: value for name, value in fields.items() if name not in ("noise", "frame")}
    noise, numbers = _taken_apart(fields["noise"]), {n: v for n, v in others.items() if not isinstance(v, Tensor)}
    tensors = {name: value for name, value in others.items() if isinstance(value, Tensor)}
    tensors |= {f"noise.{name}": value for name, value in noise.items() if isinstance(value, Tensor)}
    frame: Frame = fields["frame"]
    record = {
        "version": VERSION,
        "kind": kind,
        "fields": numbers,
        "noise": {"class": type(fields["noise"]).__name__,
                  "fields": {n: v for n, v in noise.items() if not isinstance(v, Tensor)}},
        "frame": {"spacing": frame.spacing, "unit": frame.unit,
                  "affine": None if frame.affine is None else frame.affine.tolist()},
        "complex": [name for name, value in tensors.items() if value.is_complex()],
    }  # fmt: skip
    stored = {name: _stored(value) for name, value in tensors.items()}
    text = json.dumps(record, allow_nan=False)
    with atomic_path(path) as temporary:
        save_file(stored, temporary, metadata={"scorefield": text, "crc32": contents_sum(text, stored)})
    return path


def read(path: str | os.PathLike[str], kinds: Mapping[str, type[S]]) -> S:
    """The scan in a file, of one of the ``kinds``.

    Raises:
        InputError: missing, damaged, of another program, of a newer version or of an unknown kind.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no scan {path}; check the name.")
    with reading(path, "it is damaged, cut short or no scorefield scan, so save it again with Scan.save"):
        record, tensors = _contents(path)
        kind, fields = (upgrade if record["version"] == 1 else _fields)(record, tensors)
        if kind not in kinds:
            raise InputError(f"{path} holds a scan of the kind {kind}, and this scorefield knows {', '.join(kinds)}.")
        return kinds[kind](**{**fields, "frame": replace(fields["frame"], source=str(path))})


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The record and the tensors, after the checks of version and checksum."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    record = json.loads(metadata.get("scorefield", "{}"))
    version = record.get("version")
    if not isinstance(version, int):
        raise InputError(f"{path} is not a scan of scorefield; save it with Scan.save.")
    if version > VERSION:
        raise InputError(
            f"{path} was written by a newer version of scorefield: it has scan layout {version}, and this one reads"
            f" up to {VERSION}; update scorefield."
        )
    if metadata.get("crc32") != contents_sum(metadata["scorefield"], tensors):
        raise InputError(f"{path} was changed or damaged since it was written; copy it again.")
    return record, tensors | {name: torch.view_as_complex(tensors[name]) for name in record["complex"]}


def _fields(record: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Kind and fields of a scan of layout 2."""
    plain = record["noise"]
    if plain["class"] not in laws.__all__:
        raise InputError(f"The scan has noise of the unknown law {plain['class']}; update scorefield.")
    own = {name.removeprefix("noise."): value for name, value in tensors.items() if name.startswith("noise.")}
    noise = getattr(laws, plain["class"])(**plain["fields"], **own)
    others = {name: value for name, value in tensors.items() if not name.startswith("noise.")}
    return record["kind"], {**record["fields"], **others, "noise": noise, "frame": Frame(**record["frame"])}


def _taken_apart(noise: Noise) -> dict[str, Any]:
    """The constructor's arguments of a noise, by name.

    Raises:
        InputError: a law that is not exported by :mod:`scorefield.noise`.
    """
    if getattr(laws, type(noise).__name__, None) is not type(noise):
        raise InputError(
            f"A scan with noise of the class {type(noise).__name__} cannot be saved; take one of sf.noise."
        )
    return {name: getattr(noise, name) for name in inspect.signature(type(noise)).parameters}


def _stored(values: Tensor) -> Tensor:
    values = values.detach().cpu()
    values = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    return values.clone(memory_format=torch.contiguous_format)  # safetensors refuses tensors that share memory


def contents_sum(text: str, tensors: dict[str, Tensor]) -> str:
    """CRC-32 of everything in the file; safetensors itself would not notice a flipped bit."""
    crc = zlib.crc32(text.encode())
    for name, values in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {values.dtype} {tuple(values.shape)}".encode(), crc)
        crc = zlib.crc32(values.reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"
