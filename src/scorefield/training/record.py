"""The record of a training on disk: snapshots, from which it can continue, and a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield.errors import InputError, shorten
from scorefield.prior import Prior
from scorefield.store import checkpoint
from scorefield.store.atomic import check_writable, recover
from scorefield.store.checkpoint import Card
from scorefield.store.plain import JsonFile
from scorefield.store.tensors import TensorFile
from scorefield.training.identity import first_difference
from scorefield.training.logs import JsonLines, Log, TensorBoard

STATE_FILE = "training.safetensors"
CLOCK = JsonFile("the state of a training", "train anew in another folder")
STATE = TensorFile("scorefield.training", "the state of a training", "train anew in another folder")


@dataclass(frozen=True)
class Snapshot:
    """A training at one step.

    Args:
        tensors: weights, optimizer, average, and the best weights so far.
        record: step, seconds, settings, validation history: JSON-able.
    """

    tensors: dict[str, Tensor]
    record: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """The folder of a training.

    The folder is always a complete prior (``scorefield.load`` reads it in the middle of a training, too) and holds
    beside it ``training.json`` and ``training.safetensors``, from which the training continues to the same bits.  A new
    snapshot replaces all of it or nothing.  The log, one JSON object a line, lies beside it as ``FOLDER.jsonl``.

    Args:
        path: the folder.
        minutes: between two snapshots.
        resume: continue the training that the folder holds, if it holds one.
        card: card of the prior; the training adds how it was made.
        tensorboard: folder of TensorBoard's event files, if wanted.
        reference: whether to store with the final prior the statistics of training images that
            :func:`scorefield.trust.assess` needs; they take a few minutes.

    Raises:
        InputError: the folder holds a training or a prior and ``resume`` is False.
    """

    path: Path
    minutes: float = 5.0
    resume: bool = False
    card: Card | None = None
    tensorboard: Path | None = None
    reference: bool = False
    logs: tuple[Log, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        path = Path(self.path)
        object.__setattr__(self, "path", path)
        if not self.minutes >= 0:
            raise InputError(f"Minutes between snapshots are >= 0, got {self.minutes:g}.")
        check_writable(path)
        if not self.resume and (contents := _contents(path)):
            raise InputError(f"{path} holds {contents}; continue it (--resume), or choose another folder.")
        logs: list[Log] = [JsonLines(path.with_name(path.name + ".jsonl"))]
        if self.tensorboard is not None:
            logs.append(TensorBoard(self.tensorboard))
        object.__setattr__(self, "logs", tuple(logs))

    def begin(self, expected: Mapping[str, Any]) -> Snapshot | None:
        """The snapshot to continue from; None starts anew, with an empty log.

        Raises:
            InputError: the training there is damaged, or was run with other settings.
        """
        plain = _plain(self.path) if self.resume else None
        self._rewind(plain["step"] if plain else -1)
        if plain is None:
            return None
        for name, value in expected.items():
            other = first_difference(plain.get(name, value), value, name)  # an older version did not store all
            if other is not None:
                raise InputError(
                    f"{self.path} was trained with {other[0]} = {shorten(other[1], 100)}, not {shorten(other[2], 100)};"
                    " resume with the same, or train anew in another folder."
                )
        return Snapshot(STATE.read(self.path / STATE_FILE)[0], plain)

    def _rewind(self, step: int) -> None:
        for log in self.logs:
            log.rewind(step)

    def write(self, prior: Prior, snapshot: Snapshot) -> None:
        """Replace the folder by ``prior`` and ``snapshot``."""
        state = "Trained" if snapshot.record["finished"] else "Unfinished training"
        card = self.card or prior.card or Card(self.path.name)
        summary = card.summary or f"{state}, {snapshot.record['step']} steps."
        record = {name: snapshot.record[name] for name in ("seconds", "seed", "settings", "validation")}
        training = {**card.training, "steps": snapshot.record["step"], **record}
        card = replace(card, summary=summary, training=training)
        with checkpoint.folder(prior, self.path, card=card) as place:
            STATE.write(place / STATE_FILE, snapshot.tensors)
            CLOCK.write(place / "training.json", snapshot.record)


class Clock:
    """The time until the next snapshot."""

    def __init__(self, minutes: float):
        self.seconds, self.last = 60 * minutes, time.monotonic()

    def due(self) -> bool:
        """Whether it is time; if so, the clock starts again."""
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


def _contents(path: Path) -> str:
    """The training or prior in ``path``, which a new training would destroy, in words; empty if there is none."""
    plain = _plain(path)
    if plain is not None and not plain.get("finished", False):
        return f"a training that stopped at step {plain['step']}"
    return "a finished prior" if plain is not None or (path / "prior.json").exists() else ""


def _plain(path: Path) -> dict[str, Any] | None:
    recover(path)
    place = path / "training.json"
    if not place.is_file():
        return None
    plain = CLOCK.read(place)
    if not isinstance(plain.get("step"), int):
        raise InputError(f"{place} cannot be read (it holds no number of steps); train anew in another folder.")
    return plain
