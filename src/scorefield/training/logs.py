"""Logs of a training: JSON lines, TensorBoard."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from scorefield.errors import InputError
from scorefield.store.atomic import atomic_path


class Log(Protocol):
    """A destination of records."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Add a record: ``step``, and the measurements at that step."""

    def rewind(self, step: int) -> None:
        """Remove the records after ``step``: the run continues from there."""


class JsonLines:
    """One JSON object a line, flushed as it is written.

    Args:
        path: the file, appended to.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def write(self, record: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(dict(record)) + "\n")

    def rewind(self, step: int) -> None:
        if not self.path.exists():
            return
        kept = [line for line in self.path.read_text().splitlines(keepends=True) if _step(line) <= step]
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(kept))


class TensorBoard:
    """Scalars for TensorBoard (the extra ``tensorboard``, or ``pip install tensorboard``).

    Args:
        folder: where the event files go.

    Raises:
        InputError: tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("TensorBoard logs need the package tensorboard; run: pip install tensorboard") from error
        self.folder, self._writer = folder, SummaryWriter(str(folder))

    def write(self, record: Mapping[str, Any]) -> None:
        for name, value in _scalars(record):
            self._writer.add_scalar(name, value, record["step"])
        self._writer.flush()

    def rewind(self, step: int) -> None:
        """TensorBoard keeps the later points; the resumed run draws over them."""


def _step(line: str) -> float:
    """The step of a line of the log; infinite for half a line, which a killed run may leave."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf


def _scalars(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            found += _scalars(value, f"{prefix}{name}/")
        elif name != "step" and math.isfinite(value):
            found.append((prefix + name, float(value)))
    return found
