"""What commands print: text from files cannot move the cursor or color the terminal."""

from __future__ import annotations

import typer


def printable(text: object) -> str:
    """The text with a question mark in place of each control character but the end of a line."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in str(text))


def say(text: object) -> None:
    """Print one or more lines."""
    typer.echo(printable(text))
