"""The run card: nested plain data as rows a person can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scorefield.data.display import digits
from scorefield.measurement import Measurement
from scorefield.noise.words import in_words
from scorefield.reconstruction.results import summarize_nuisance

if TYPE_CHECKING:
    from scorefield.samples import Samples

LONG = 8  # numbers of a list that are spelled one by one
Rows = list[tuple[str, str]]
NAMES = {"prior": "sampled law", "kernel": "step", "sigmas": "noise levels", "batch": "draws at a time",
         "start": "first image", "intensity": "intensity of the scan"}  # fmt: skip


def run_card(samples: Samples, measurement: Measurement, given: Mapping[str, Any]) -> list[tuple[str, Rows]]:
    """Titled groups of (name, value) rows: the run, the scan, the cost, rows of the caller, versions."""
    provenance = dict(samples.provenance)
    provenance.pop("trust", None)  # has sentences of its own
    seen = provenance.pop("seen", 1.0)
    versions = provenance.pop("versions", None) or _versions()
    cost = samples.cost
    kind = "complex" if measurement.y.is_complex() else "real"
    scan: dict[str, Any] = {
        "operator": str(measurement.operator),
        "data": f"{_shape(measurement.y.shape[1:])} {kind} samples",
        "image": _shape(measurement.shape),
        "noise per real component": in_words(measurement.noise),
    }
    if seen < 1:
        scan["seen by the coils"] = f"{seen:.0%} of the pixels; the others are 0"
    spent = {
        "draws": len(samples.draws),
        "forward evaluations": cost.forward,
        "backward evaluations": cost.backward,
        "operator applications": cost.operator,
        "wall time (s)": cost.seconds,
        "peak memory (MB)": cost.peak_memory_mb,
    }
    found = summarize_nuisance(samples.nuisance)
    provenance = {NAMES.get(name, name): value for name, value in provenance.items()}
    groups = [
        ("Scan", scan),
        ("Parameters of the operator, drawn with the image", found),
        ("Sampling", provenance),
        ("Cost, all draws", spent),
        ("Notes", dict(given)),
    ]
    groups.append(("Versions", versions))
    return [(title, rows(data)) for title, data in groups if data]


def rows(data: Any, name: str = "") -> Rows:
    """Nested mappings flattened to rows, names joined by a middle dot; objects as :func:`objects` has them."""
    if isinstance(data, Mapping) and data.keys() == {"class", "fields"} and isinstance(data["fields"], Mapping):
        return objects(data["class"], data["fields"], name)
    if isinstance(data, Mapping):
        lines: Rows = []
        for key, value in data.items():
            lines += rows(value, f"{name} · {key}" if name else str(key))
        return lines
    return [(name, spell(data))]


def objects(kind: Any, fields: Mapping[str, Any], name: str) -> Rows:
    """The description of an object in one row, its class and plain fields; each object inside has a row of its own."""
    inner = {field: value for field, value in fields.items() if isinstance(value, Mapping)}
    plain = [f"{_words(field)} {spell(value)}" for field, value in fields.items() if field not in inner]
    kind = str(kind).rpartition(".")[2]
    lines: Rows = [(_words(name), f"{kind} ({', '.join(plain)})" if plain else kind)]
    for field, value in inner.items():
        lines += rows(value, _words(field))
    return lines


def _words(name: str) -> str:
    return name.replace("_", " ")


def spell(value: Any) -> str:
    """One value as text; a long list of numbers by its ends and length."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**7 else str(value)
    if isinstance(value, float):
        return digits(value)
    if isinstance(value, (list, tuple)):
        if len(value) > LONG and all(isinstance(v, (int, float)) for v in value):
            return f"{len(value)} values, {digits(value[0])} … {digits(value[-2])}, {digits(value[-1])}"
        return ", ".join(spell(v) for v in value)
    return str(value)


def _shape(sizes: tuple[int, ...]) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(map(str, sizes))


def _versions() -> dict[str, str]:
    import platform

    import numpy as np
    import torch

    from scorefield import __version__

    return {
        "scorefield": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
