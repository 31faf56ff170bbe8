"""Do the tests notice a wrong line?  Random small changes of the source, each against the tests that run its line.

    python scripts/mutants.py [--count 60] [--seed 0] [--under src/scorefield] [--work out/mutants] [--all]

A mutant is a copy of the package with one change: a sign, a comparison, a number, a condition, a statement left out.
It is killed by the first test that fails.  One run of all tests, traced, first writes which lines each test runs
(`lines.json` in the work folder; 10 minutes); a mutant then meets the tests that run its line, those of its room first
and the quickest first.  Where no test runs the line in its own process, the tests of the room decide, which may start
others.  `--all` gives all tests to those that survived this.  The result of each mutant is kept in a file of its own,
so that a run that was interrupted continues; the source must not change between (use a copy of the repository).
Survivors are printed as the line before and after: each is a missing test, or a change that changes nothing (say so).
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
        line: the first one that is changed.
        end: the last one.
        before: the source of what is changed.
        after: the source that takes its place.
        source: the whole changed file.
    """

    path: Path
    line: int
    end: int
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

    def order(node: Any) -> tuple[int, int, int, int, str]:  # the nodes come from a set: no two may tie
        return (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, type(node).__name__)

    nodes: list[Any] = sorted((node for node in _code(ast.parse(text)) if hasattr(node, "lineno")), key=order)
    for node in nodes:
        for change in _changes(node):
            begin, end = place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)
            after = ast.unparse(change)
            after = f"({after})" if isinstance(change, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp) else after
            source = text[:begin] + after + text[end:]
            yield Mutant(path.relative_to(PACKAGE), node.lineno, node.end_lineno, text[begin:end], after, source)


class Tests:
    """What each test runs, and how long it takes, as `mutants_plugin` writes it.

    Args:
        work: folder of `lines.json`; all tests run once if it is absent.
    """

    def __init__(self, work: Path) -> None:
        path = work.resolve() / "lines.json"
        if not path.exists():
            with atomic_path(path) as temporary:
                _pytest(PACKAGE.parent, ["tests"], None, MUTANTS_MAP=str(temporary))
        tests = json.loads(path.read_text(encoding="utf-8"))["tests"]
        self.tests = {name: test for name, test in tests.items() if test["passed"]}

    def of(self, mutant: Mutant) -> list[list[str]]:
        """Groups of tests, the nearest first, in each the quickest first; empty if no test runs the lines."""
        lines, room = set(range(mutant.line, mutant.end + 1)), f"tests/{mutant.path.parts[0]}/"
        names = [name for name, test in self.tests.items() if lines & set(test["lines"].get(str(mutant.path), []))]
        names.sort(key=lambda name: self.tests[name]["seconds"])
        groups = [[name for name in names if name.startswith(room) is near] for near in (True, False)]
        return [group for group in groups if group]

    def seconds(self, names: list[str]) -> float:
        return sum(self.tests[name]["seconds"] for name in names)


def _pytest(package: Path, arguments: list[str], timeout: float | None, **variables: str) -> int:
    """Run pytest with a package of another folder until the first failure."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT / "scripts")]), **variables}
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "mutants_plugin", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=timeout).returncode


def verdict(mutant: Mutant, groups: list[list[str]], timeout: float) -> str:
    """Whether a test notices the change: killed, survived, or too slow (a loop that does not end).

    Args:
        mutant: what is changed.
        groups: names of tests, or of folders of tests.
        timeout: in seconds for each group.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(PACKAGE, folder / "scorefield", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "scorefield" / mutant.path).write_text(mutant.source, encoding="utf-8")
        for group in groups:
            (folder / "tests.json").write_text(json.dumps(group), encoding="utf-8")
            chosen = {"MUTANTS_TESTS": str(folder / "tests.json")} if "::" in group[0] else {}
            files = list(dict.fromkeys(each.split("::")[0] for each in group))
            try:
                code = _pytest(folder, ["-x", *files], timeout, **chosen)
            except subprocess.TimeoutExpired:
                return HUNG
            if code not in (0, 5):  # 5: no tests there
                return KILLED
    return SURVIVED


def _room(mutant: Mutant) -> list[list[str]]:
    """The tests of the mutant's room, if it has some."""
    room = ROOT / "tests" / mutant.path.parts[0]
    return [[str(room)]] if room.is_dir() else []


def _first(mutant: Mutant, tests: Tests) -> dict[str, Any]:
    """The record of a mutant that met the tests which run its lines."""
    groups = tests.of(mutant)
    names = [name for group in groups for name in group]
    result = verdict(mutant, groups or _room(mutant), 120.0 + 5 * tests.seconds(names))
    place = {"path": str(mutant.path), "line": mutant.line, "before": mutant.before, "after": mutant.after}
    return {"result": result, **place, "tests": len(names), "all": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--under", type=Path, default=PACKAGE, help="folder or file whose lines are changed")
    parser.add_argument("--work", type=Path, default=Path("out/mutants"))
    parser.add_argument("--all", action="store_true", help="give all tests to the survivors")
    args = parser.parse_args()
    under = args.under.resolve()
    paths = sorted(under.rglob("*.py")) if under.is_dir() else [under]
    every = [mutant for path in paths for mutant in mutants(path)]
    chosen = random.Random(args.seed).sample(every, min(args.count, len(every)))
    tests = Tests(args.work)
    found: dict[str, int] = {}
    for number, mutant in enumerate(chosen):
        path = args.work / f"{args.seed}-{number}.json"
        record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else _first(mutant, tests)
        if args.all and record["result"] == SURVIVED and not record["all"]:
            record |= {"result": verdict(mutant, [["tests"]], 3600.0), "all": True}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
        found[record["result"]] = found.get(record["result"], 0) + 1
        if record["result"] != KILLED:
            print(
                f"{record['result']}: {record['path']}:{record['line']}  {record['before']}  ->  {record['after']}",
                flush=True,
            )
    print(f"{len(chosen)} of {len(every)} mutants: " + ", ".join(f"{count} {name}" for name, count in found.items()))


if __name__ == "__main__":
    main()
