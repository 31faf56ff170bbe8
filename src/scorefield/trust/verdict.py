"""A verdict in words: first what it is, then what it means, then the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check for a person.

    Args:
        title: the verdict, a clause.
        text: what it means and what to do, in plain words.
        numbers: the numbers behind it.
    """

    title: str
    text: str
    numbers: str

    def __str__(self) -> str:
        return f"{self.title}. {self.text} ({self.numbers}.)"
