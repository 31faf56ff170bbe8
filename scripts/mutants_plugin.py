"""A plugin of pytest for `mutants.py`: which lines of the package each test runs, and a run of chosen tests.

    PYTHONPATH=scripts MUTANTS_MAP=lines.json pytest -p mutants_plugin        # writes the map
    PYTHONPATH=scripts MUTANTS_TESTS=tests.json pytest -p mutants_plugin FILES  # the tests of this list, in its order

The map is `{"tests": {name: {"seconds": .., "passed": .., "lines": {file: [line, ..]}}}}`.  Lines that run in another
process, or while tests are collected, are not in it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

PACKAGE = os.sep + "scorefield" + os.sep
LINES: dict[str, set[int]] = {}
TESTS: dict[str, dict[str, Any]] = {}


def _trace(frame: FrameType, event: str, argument: object):
    """Trace the frames of the package, and no other."""
    name = frame.f_code.co_filename
    if PACKAGE not in name or f"{os.sep}src{os.sep}" not in name:
        return None
    lines = LINES.setdefault(name.rpartition(PACKAGE)[2], set())
    lines.add(frame.f_lineno)

    def local(frame: FrameType, event: str, argument: object):
        lines.add(frame.f_lineno)
        return local

    return local


if "MUTANTS_MAP" in os.environ:

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(item: pytest.Item):
        LINES.clear()
        begin = time.perf_counter()
        threading.settrace(_trace)
        sys.settrace(_trace)
        yield
        sys.settrace(None)
        threading.settrace(None)  # pyright: ignore[reportArgumentType]
        lines = {name: sorted(numbers) for name, numbers in LINES.items()}
        TESTS.setdefault(item.nodeid, {"passed": True}).update(seconds=time.perf_counter() - begin, lines=lines)

    def pytest_runtest_logreport(report: pytest.TestReport) -> None:
        test = TESTS.setdefault(report.nodeid, {"passed": True})
        test["passed"] = test["passed"] and report.passed

    def pytest_sessionfinish() -> None:
        Path(os.environ["MUTANTS_MAP"]).write_text(json.dumps({"tests": TESTS}), encoding="utf-8")


if "MUTANTS_TESTS" in os.environ:

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        names = json.loads(Path(os.environ["MUTANTS_TESTS"]).read_text(encoding="utf-8"))
        place = {name: number for number, name in enumerate(names)}
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])
