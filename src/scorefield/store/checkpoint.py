"""Checkpoints: a folder with ``prior.json`` (class, fields, card) and ``weights.safetensors``; never a pickle.

``reference.safetensors``, where there is one, holds what :func:`scorefield.trust.assess` compares with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Prior
from scorefield.store.atomic import atomic_folder
from scorefield.store.description import build, describe
from scorefield.store.tensors import TensorFile
from scorefield.trust.likeness import Reference

REFERENCE = "reference.safetensors"
REFERENCES = TensorFile("scorefield.reference", "a reference of a prior", "restore the file")
WEIGHTS = TensorFile("scorefield.weights", "the weights of a prior", "restore the file")


@dataclass(frozen=True)
class Card:
    """What a person should know before using a prior.

    Args:
        name: short name.
        summary: one sentence.
        amplitude: what the 99th percentile of |image| is in the prior's units.
        unit: the meaning of 1 in the prior's units.
        provenance: training data with licences.
        training: how it was trained (steps, seconds, seed, command, validation numbers).
        limits: where it should not be trusted.
    """

    name: str
    summary: str = ""
    amplitude: float = 1.0
    unit: str = "99th percentile of the image"
    provenance: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    limits: str = ""


def save(prior: Prior, path: str | Path, *, card: Card | None = None) -> Path:
    """Write ``prior`` as a folder, all or nothing.

    Args:
        path: the folder; an existing one is replaced only when the new one is complete.
        card: stored beside the fields; the prior's own card by default.
    """
    with folder(prior, path, card=card):
        return Path(path)


@contextmanager
def folder(prior: Prior, path: str | Path, *, card: Card | None = None) -> Iterator[Path]:
    """As :func:`save`, for a folder that holds more: the block adds files to the folder it is given."""
    stated: Card = card or prior.card or Card(Path(path).name)
    text = json.dumps({"format": 1, "prior": describe(prior), "card": asdict(stated)}, indent=2)
    with atomic_folder(path) as place:
        (place / "prior.json").write_text(text + "\n")
        WEIGHTS.write(place / "weights.safetensors", prior.state_dict())
        if prior.reference is not None:
            REFERENCES.write(place / REFERENCE, prior.reference.tensors())
        yield place


def load(path: str | Path) -> Prior:
    """Read a prior folder, ready for sampling: evaluation mode, no gradients on the weights, ``.card`` attached.

    Raises:
        InputError: a missing, corrupt or foreign folder.
    """
    path = Path(path)
    if not (path / "prior.json").is_file():
        raise InputError(f"{path} is not a prior: it holds no prior.json; give a folder that 'scorefield train' wrote.")
    try:
        plain = json.loads((path / "prior.json").read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path / 'prior.json'} is not valid JSON ({error}); restore the file.") from error
    weights, _ = WEIGHTS.read(path / "weights.safetensors")
    try:
        prior, card = _typed(build(plain["prior"]), weights), Card(**plain["card"])
        prior.load_state_dict(weights)
    except (AttributeError, IndexError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} does not hold a prior this version can read ({reason}); train it again.") from error
    prior.card = card
    if (path / REFERENCE).is_file():
        prior.reference = Reference.of(REFERENCES.read(path / REFERENCE)[0])
    return prior.eval().requires_grad_(False)


def _typed(prior: Any, weights: dict[str, Tensor]) -> Prior:
    """``prior`` with its weights in the precision of ``weights``, so that loading them rounds nothing."""
    if not isinstance(prior, Prior):
        raise TypeError(f"'prior' describes a {type(prior).__name__}")
    for name, own in prior.state_dict(keep_vars=True).items():
        own.data = own.data.to(weights[name].dtype) if name in weights else own.data
    return prior
