"""What commands print: text from files cannot move the cursor or color the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import typer


def printable(text: object) -> str:
    """The text with a question mark in place of each control character but the end of a line."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in str(text))


def say(text: object) -> None:
    """Print one or more lines."""
    typer.echo(printable(text))


def to_json(data: Any) -> str:
    """Nested plain data as JSON; numbers that are not finite are null."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): plain(inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(inner) for inner in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(data), indent=2, allow_nan=False)
