"""No import cycles: whichever module of the package comes first, it finds what it needs."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import scorefield

ROOT = Path(scorefield.__file__).parent


def name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name(path): path for path in ROOT.rglob("*.py")}


def imported(body: list[ast.stmt]) -> set[str]:
    """The modules of ours that running ``body`` imports; what functions and type checkers import does not run."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scorefield"):
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module if module in MODULES else node.module for module in full}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        elif isinstance(node, ast.Try):
            found |= imported(node.body)
    return found


def needs(module: str, path: Path) -> set[str]:
    """What must have been run before ``module``: its imports, and the packages around them that are not around it."""
    found = imported(ast.parse(path.read_text()).body)
    around = {parent for other in found for parent in parents(other)}
    return {other for other in found | around if other != module and not module.startswith(other + ".")}


def parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def test_there_are_no_cycles():
    order = tuple(TopologicalSorter({m: needs(m, path) for m, path in MODULES.items()}).static_order())
    assert len(order) == len(MODULES)
    assert order.index("scorefield.prior") < order.index("scorefield.objectives.base")
    # a package is run before what needs one of its modules, and after its own modules
    assert order.index("scorefield.linalg.solve") < order.index("scorefield.operators")
    assert order.index("scorefield.operators") < order.index("scorefield.posteriors.mmps")
