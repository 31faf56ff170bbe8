"""Do the tests notice a wrong line?  Random small changes of the source, each against the tests of its room.

    python scripts/mutants.py [--count 60] [--seed 0] [--under src/scorefield] [--work out/mutants] [--timeout 900]

A mutant is a copy of the package with one change: a sign, a comparison, a number, a condition, a statement left out.
It is killed by the first test that fails among the tests of its room, the laws, and then all tests.  The result of each
mutant is kept in a file of its own, so that a run that was interrupted continues.  Survivors are printed as the line
before and after: each is a missing test, or a change that changes nothing (say so).
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorefield.store.atomic import atomic_path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "scorefield"
SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt,
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "sin": "cos", "cos": "sin", "argmin": "argmax", "argmax": "argmin"}
KILLED, SURVIVED, HUNG = "killed", "survived", "too slow"


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Args:
        path: of the file, relative to the package.
        line: where it is changed.
        before: the source of what is changed.
        after: the source that takes its place.
        source: the whole changed file.
    """

    path: Path
    line: int
    before: str
    after: str
    source: str


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may take the place of a node: the same with one small change."""
    other: Any = copy.deepcopy(node)
    match other:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in SWAPS:
            other.op = SWAPS[type(op)]()
        case ast.Compare(ops=[op, *_]) if type(op) in SWAPS:
            other.ops[0] = SWAPS[type(op)]()
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            other = operand
        case ast.Constant(value=bool(value)):
            other.value = not value
        case ast.Constant(value=int(value)):
            other.value = value + 1
        case ast.Constant(value=float(value)):
            other.value = 1.5 * value
        case ast.Attribute(attr=word) if word in NAMES:
            other.attr = NAMES[word]
        case ast.Name(id=word) if word in NAMES:
            other.id = NAMES[word]
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            other = ast.Pass()
        case _:
            return
    yield other


def _code(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes inside functions, without docstrings, annotations, decorators and the sentences of errors."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {node for function in functions for statement in function.body for node in ast.walk(statement)}
    beside = [node for node in ast.walk(tree) if isinstance(node, ast.Raise | ast.JoinedStr)]
    for node in ast.walk(tree):
        parts = (getattr(node, name, None) for name in ("annotation", "returns", "decorator_list"))
        beside += [each for part in parts for each in (part if isinstance(part, list) else [part]) if each is not None]
    return iter(inside - {node for part in beside for node in ast.walk(part)})


def mutants(path: Path) -> Iterator[Mutant]:
    """All changes of one file, in the order of its lines."""
    text = path.read_text(encoding="utf-8")
    starts = [0, *(i + 1 for i, character in enumerate(text) if character == "\n")]

    def place(line: int, column: int) -> int:
        return starts[line - 1] + len(text[starts[line - 1] :].encode()[:column].decode())

    nodes: list[Any] = sorted(_code(ast.parse(text)), key=lambda node: getattr(node, "lineno", 0))
    for node in nodes:
        for change in _changes(node):
            begin, end = place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)
            after = ast.unparse(change)
            after = f"({after})" if isinstance(change, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp) else after
            source = text[:begin] + after + text[end:]
            yield Mutant(path.relative_to(PACKAGE), node.lineno, text[begin:end], after, source)


def tests_of(path: Path) -> list[list[str]]:
    """Groups of tests for a file of the package, the nearest first; the last group is all of them."""
    room = path.parts[0] if len(path.parts) > 1 else f"test_{path.stem}.py"
    near = [str(ROOT / "tests" / room)] if (ROOT / "tests" / room).exists() else []
    return [*([near] if near else []), [str(ROOT / "tests" / "laws")], [str(ROOT / "tests")]]


def verdict(mutant: Mutant, timeout: float) -> str:
    """Whether a test notices the change: killed, survived, or too slow (a loop that does not end)."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(PACKAGE, Path(folder) / "scorefield", ignore=shutil.ignore_patterns("__pycache__"))
        (Path(folder) / "scorefield" / mutant.path).write_text(mutant.source, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        for group in tests_of(mutant.path):
            try:
                run = subprocess.run(
                    [*command, *group], cwd=ROOT, env=environment, capture_output=True, timeout=timeout
                )
            except subprocess.TimeoutExpired:
                return HUNG
            if run.returncode not in (0, 5):  # 5: the folder has no tests
                return KILLED
    return SURVIVED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--under", type=Path, default=PACKAGE, help="folder or file whose lines are changed")
    parser.add_argument("--work", type=Path, default=Path("out/mutants"))
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds of one group of tests")
    args = parser.parse_args()
    under = args.under.resolve()
    paths = sorted(under.rglob("*.py")) if under.is_dir() else [under]
    every = [mutant for path in paths for mutant in mutants(path)]
    chosen = random.Random(args.seed).sample(every, min(args.count, len(every)))
    found: dict[str, int] = {}
    for number, mutant in enumerate(chosen):
        path = args.work / f"{args.seed}-{number}.json"
        if not path.exists():
            record = {"result": verdict(mutant, args.timeout), "path": str(mutant.path), "line": mutant.line,
                      "before": mutant.before, "after": mutant.after}  # fmt: skip
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
        record = json.loads(path.read_text(encoding="utf-8"))
        found[record["result"]] = found.get(record["result"], 0) + 1
        if record["result"] != KILLED:
            print(
                f"{record['result']}: {record['path']}:{record['line']}  {record['before']}  ->  {record['after']}",
                flush=True,
            )
    print(f"{len(chosen)} of {len(every)} mutants: " + ", ".join(f"{count} {name}" for name, count in found.items()))


if __name__ == "__main__":
    main()
