"""Checkpoints: a folder with ``prior.json`` (class, fields, card) and ``weights.safetensors``; never a pickle.

Each other file ``NAME.safetensors`` holds further tensors of the prior, ``prior.beside[NAME]``, such as the reference
of :func:`scorefield.trust.assess`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield.arguments import path_of
from scorefield.errors import InputError, is_out_of_memory, shorten
from scorefield.prior import Prior, as_prior
from scorefield.store.atomic import atomic_folder, recover
from scorefield.store.description import describe
from scorefield.store.plain import JsonFile
from scorefield.store.shapes import build_like
from scorefield.store.tensors import TensorFile

DESCRIPTION = JsonFile("the description of a prior", "restore the file")
WEIGHTS = TensorFile("scorefield.weights", "the weights of a prior", "restore the file")
BESIDE = TensorFile("scorefield.beside", "further tensors of a prior", "restore or delete the file")
RESERVED = ("weights", "training")  # names of the files of the weights, and of a training that can continue


@dataclass(frozen=True)
class Card:
    """Facts that a person should know before using a prior.

    Args:
        name: short name.
        summary: one sentence.
        amplitude: the intensity of images (:mod:`scorefield.units`) in the prior's units.
        unit: the meaning of 1 in the prior's units.
        provenance: training data with licences.
        training: how it was trained (steps, seconds, seed, command, validation numbers).
        limits: where it should not be trusted.

    Raises:
        InputError: an amplitude that is not a positive number.
    """

    name: str
    summary: str = ""
    amplitude: float = 1.0
    unit: str = "intensity of the image"
    provenance: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    limits: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.amplitude < math.inf:
            raise InputError(f"A prior's amplitude is a positive number, got {self.amplitude}.")


Beside = Mapping[str, Mapping[str, Tensor]]


def save(prior: Prior, path: str | Path, *, card: Card | None = None, beside: Beside | None = None) -> Path:
    """Write ``prior`` as a folder, all or nothing.

    Args:
        path: the folder; an existing one is replaced only when the new one is complete.
        card: stored with the fields; by default the prior's own card, with its amplitude.
        beside: further tensors, by the name of their file and then by their own; by default those of the prior.

    Raises:
        InputError: the prior contains a class from outside scorefield, or the folder needs the name of further tensors
            for a file of its own.
    """
    with folder(prior, path, card=card, beside=beside):
        return Path(path)


@contextmanager
def folder(prior: Prior, path: str | Path, *, card: Card | None = None, beside: Beside | None = None) -> Iterator[Path]:
    """As :func:`save`, for a folder with more files: the block gets the folder and adds them."""
    stated = card or _card_of(as_prior(prior), Path(path).name)
    further = prior.beside if beside is None else beside
    if taken := [name for name in further if name in RESERVED]:
        raise InputError(f"Further tensors cannot be called '{taken[0]}', the folder has such a file; rename them.")
    plain = {"prior": describe(prior), "card": asdict(stated)}
    with atomic_folder(path) as place:
        WEIGHTS.write(place / "weights.safetensors", prior.state_dict())
        for name, tensors in further.items():
            BESIDE.write(place / f"{name}.safetensors", tensors)
        yield place
        DESCRIPTION.write(place / "prior.json", plain, files=sorted(file for file in place.iterdir() if file.is_file()))


def _card_of(prior: Prior, name: str) -> Card:
    """The prior's own card, or a new one called ``name``, with the amplitude that the prior has now."""
    card: Card = prior.card or Card(name)
    return card if prior.amplitude is None else replace(card, amplitude=prior.amplitude)


def load(path: str | Path) -> Prior:
    """Read a prior folder, ready for sampling: evaluation mode, no gradients on the weights.

    The prior has the ``card`` of the folder, its ``amplitude``, and the further tensors as ``beside``.

    Raises:
        InputError: the folder is missing or damaged, or holds no prior.
    """
    path = path_of(path)
    recover(path)
    if not (path / "prior.json").is_file():
        raise InputError(
            f"{path} is not a prior: it holds no prior.json; give a folder that 'scorefield train' wrote, or"
            " sf.shipped.find(name) for a prior of the package."
        )
    plain = DESCRIPTION.read(path / "prior.json")
    DESCRIPTION.check(path / "weights.safetensors", plain)
    weights, _ = WEIGHTS.read(path / "weights.safetensors")
    try:
        prior, card = _typed(build_like(plain["prior"], weights), weights), Card(**plain["card"])
        prior.load_state_dict(weights)
    except InputError as error:  # of a class or a field
        raise InputError(f"{path / 'prior.json'} does not describe a prior: {error}") from error
    except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
        reason = "too little memory" if is_out_of_memory(error) else shorten(str(error).split("\n")[0]).rstrip(".")
        raise InputError(f"{path} does not hold a prior this version can read ({reason}); train it again.") from error
    prior.card = card
    further = sorted(file for file in path.glob("*.safetensors") if file.stem not in RESERVED)
    for file in further:
        DESCRIPTION.check(file, plain)
    prior.beside = {file.stem: BESIDE.read(file)[0] for file in further}
    return prior.eval().requires_grad_(False)


def _typed(prior: Any, weights: dict[str, Tensor]) -> Prior:
    """``prior`` with its weights in the precision of ``weights``, so that loading them rounds nothing."""
    if not isinstance(prior, Prior):
        raise TypeError(f"'prior' describes a {type(prior).__name__}")
    for name, own in prior.state_dict(keep_vars=True).items():
        own.data = own.data.to(weights[name].dtype) if name in weights else own.data
    return prior
