"""The size of what a reader must hold in mind at once: the lines of a file, the lines of a function."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import scorefield

ROOT = Path(scorefield.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
LINES, BODY = 350, 40


def long_bodies(text: str) -> list[str]:
    """The functions whose statements, without their docstring, span more than ``BODY`` lines."""
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lines = {f"{node.name}, line {node.lineno}": lines_of_body(node) for node in functions}
    return [name for name, n in lines.items() if n > BODY]


def lines_of_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    has_docstring = ast.get_docstring(function, clean=False) is not None
    body = function.body[has_docstring:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: n for name, n in lengths.items() if n > LINES} == {}


def test_functions_are_short():
    found = {str(path.relative_to(ROOT)): long_bodies(path.read_text()) for path in MODULES}
    assert {name: functions for name, functions in found.items() if functions} == {}


@pytest.mark.parametrize(("statements", "long"), [(BODY, False), (BODY + 1, True)])
def test_the_docstring_is_not_counted(statements: int, long: bool):
    text = 'class A:\n    def f(self):\n        """One.\n\n        Two.\n        """\n' + statements * "        x = 1\n"
    assert bool(long_bodies(text)) == long
