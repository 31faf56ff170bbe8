"""Progress of long loops: silent by default, a bar on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Silent:
    """Shows nothing; the base class of what shows progress."""

    def track(self, steps: Iterable[T], *, total: int, label: str) -> Iterator[T]:
        """Yield the steps; a subclass shows how many are done."""
        del total, label
        yield from steps

    def note(self, text: str) -> None:
        """Show a short text beside the current position."""


class Bar(Silent):
    """A tqdm bar with the elapsed and the estimated remaining time, on standard error."""

    def __init__(self) -> None:
        self._bar = None

    def track(self, steps: Iterable[T], *, total: int, label: str) -> Iterator[T]:
        from tqdm import tqdm

        with tqdm(steps, total=total, desc=label, dynamic_ncols=True, leave=True) as bar:
            self._bar = bar
            yield from bar
            self._bar = None

    def note(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
