"""Interrupts: Ctrl-C and SIGTERM wait for the end of a step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """A context in which the first Ctrl-C or SIGTERM only sets ``asked``; the second one interrupts at once.

    Outside the main thread, where Python takes no signals, it does nothing.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)  # a scheduler warns with SIGTERM before it kills

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
